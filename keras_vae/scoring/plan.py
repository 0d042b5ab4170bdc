"""The work of a scoring: the shards of the inputs, the parquet file of each, and the manifest that says both.

A shard's file is written whole, and last: a shard is done when its file is there. So a run that was
interrupted goes on with what is missing, and no row is written twice.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import files
from keras_vae.errors import UserError, reading
from keras_vae.runtimes.bundle import Bundle
from keras_vae.scoring import inputs
from keras_vae.scoring.layouts import Layout, layout_of
from keras_vae.scoring.measures import Measure

MANIFEST, SCHEMA = "scores.json", "keras_vae.scores/1"
BLOCK = 256  # rows in one call of the measure
_BAD_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Shard:
    """A range of rows of one input, which becomes one file.

    Args:
      number: of the shard, in the order of the inputs.
      file: of the input.
      start: its first row there.
      stop: the row after its last.
      before: rows of the inputs before this one, so that each row has a number of its own, for its noise.
    """

    number: int
    file: str
    start: int
    stop: int
    before: int

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return self.stop - self.start

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"part-{self.number:06d}.parquet"

    @property
    def bad_name(self) -> str:
        """The name of the file of rows that could not be scored, where there are any."""
        return f"part-{self.number:06d}.bad.jsonl"


@dataclasses.dataclass(frozen=True)
class Plan:
    """All of a run's work, which is a function of its arguments: two runs of one plan write the same files.

    Args:
      bundle: its folder.
      output: the folder that is written.
      what: the name of a measure.
      seed: of the noise.
      feature: of TFRecord files.
      reference: scores of normal examples, in ascending order.
      shards: the work.
      document: the manifest as JSON.
    """

    bundle: str
    output: str
    what: str
    seed: int
    feature: str | None
    reference: np.ndarray | None
    shards: tuple[Shard, ...]
    document: dict[str, Any]

    @property
    def rows(self) -> int:
        """The number of rows in all inputs."""
        return self.document["rows"]

    def pending(self) -> list[Shard]:
        """Return the shards whose file is not there."""
        return [shard for shard in self.shards if not (Path(self.output) / shard.name).is_file()]


def planned(
    bundle: Bundle,
    paths: Sequence[Path],
    output: Path,
    what: str,
    seed: int,
    feature: str | None,
    reference: np.ndarray | None,
    shard_rows: int,
    overwrite: bool,
) -> Plan:
    """Return the plan, after its manifest was written; or that of an earlier run in the same folder, to go on with.

    Raises:
      UserError: the folder is of another plan, or holds something else; an input has no rows, or cannot be the model's.
    """
    output = files.check_output_folder(output, MANIFEST, overwrite)
    layout = layout_of(bundle)
    sources = [(path, inputs.opened(path, layout, feature).rows) for path in paths]
    if empty := [path for path, rows in sources if not rows]:
        raise UserError(f"An input must have a row. Given: {empty[0]}, without any. Take it out.")
    shards: list[Shard] = []
    before = 0
    for path, rows in sources:
        for start in range(0, rows, shard_rows):
            shards.append(Shard(len(shards), str(path), start, min(start + shard_rows, rows), before))
        before += rows
    document = {
        "schema": SCHEMA,
        "bundle": bundle.digest,
        "model": bundle.manifest["model"]["zoo_name"] or bundle.manifest["model"]["class"],
        "what": what,
        "seed": seed,
        "feature": feature,
        "reference": None if reference is None else hashlib.sha256(reference.tobytes()).hexdigest(),
        "shard_rows": shard_rows,
        "inputs": [{"file": str(path), "bytes": _size(path), "rows": rows} for path, rows in sources],
        "rows": before,
        "shards": len(shards),
    }
    if (output / MANIFEST).is_file() and not overwrite:
        _require_same_plan(output, document)
    else:
        for file in output.glob("part-*"):
            file.unlink()
        files.write_json(output / MANIFEST, document)
    return Plan(
        str(bundle.path.resolve()), str(output.resolve()), what, seed, feature, reference, tuple(shards), document
    )


def _require_same_plan(output: Path, document: Mapping[str, object]) -> None:
    """Raise UserError if the folder's manifest is not `document`."""
    path = output / MANIFEST
    with reading(path, "is not the manifest of scores", "Score into another folder, or say --overwrite."):
        earlier = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in document if earlier.get(key) != document[key]]
    if changed:
        raise UserError(
            f"A folder of scores is of one bundle, one input and one measure. Given: {output}, whose "
            f"{', '.join(changed)} {'differs' if len(changed) == 1 else 'differ'}. Score into another folder, or "
            f"say --overwrite to begin anew."
        )


def write_shard(plan: Plan, shard: Shard, measure: Measure, layout: Layout) -> None:
    """Score the rows of a shard and write its file.

    The columns are `file`, `row` and those of the measure. The file of bad rows, JSON lines of `file`, `row` and
    `reason`, is written before it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, blocks, bad = inputs.opened(shard.file, layout, plan.feature), [], {}
    for start in range(shard.start, shard.stop, BLOCK):
        with reading(shard.file, f"cannot be read from its row {start} on", inputs.REMEDY):
            rows = source.read(start, min(start + BLOCK, shard.stop))
        scored, columns, refused = _scored(measure, rows, shard.before)
        bad |= rows.bad | refused
        if columns:
            blocks.append({"row": scored, **columns})
    folder = Path(plan.output)
    if bad:
        lines = [json.dumps({"file": shard.file, "row": row, "reason": bad[row]}) for row in sorted(bad)]
        files.write_text(folder / shard.bad_name, "\n".join(lines) + "\n")
    arrays = {name: _column(np.concatenate([block[name] for block in blocks])) for name in (blocks or [()])[0]}
    arrays = arrays or {"row": pa.array([], pa.int64())}
    names = pa.array(np.zeros(len(arrays["row"]), "int32"))
    table = pa.table({"file": pa.DictionaryArray.from_arrays(names, pa.array([shard.file])), **arrays})
    with files.atomic(folder / shard.name) as temporary:
        # A dictionary of the file alone: one of numbers that all differ takes longer to write.
        pq.write_table(table, temporary, compression="snappy", use_dictionary=["file"])


def _scored(measure: Measure, rows: inputs.Rows, before: int) -> tuple[np.ndarray, Any, dict[int, str]]:
    """The rows that could be scored, their columns, and the reasons for the others: one by one only if some cannot."""
    if not len(rows.x):
        return rows.numbers, {}, {}
    try:
        return rows.numbers, measure(rows.x, rows.numbers + before), {}
    except UserError:
        bad, good = {}, []
        for position, row in enumerate(rows.numbers):
            try:
                measure(rows.x[position : position + 1], rows.numbers[position : position + 1] + before)
                good.append(position)
            except UserError as error:
                bad[int(row)] = str(error)
        return rows.numbers[good], measure(rows.x[good], rows.numbers[good] + before) if good else {}, bad


def _column(values: np.ndarray) -> Any:
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def totals(plan: Plan) -> tuple[int, int, list[str]]:
    """Return the rows that were scored, the bad ones, and the first reasons, from the files."""
    import pyarrow.parquet as pq

    folder, bad, reasons = Path(plan.output), 0, []
    rows = sum(pq.read_metadata(folder / shard.name).num_rows for shard in plan.shards)
    for shard in plan.shards:
        if (file := folder / shard.bad_name).is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            bad += len(lines)
            reasons += [json.loads(line) for line in lines[:_BAD_SHOWN]]
    return rows, bad, [f"row {one['row']} of {one['file']}: {one['reason']}" for one in reasons[:_BAD_SHOWN]]


def _size(path: Path) -> int | None:
    """The bytes of a file; None for a folder, whose number of rows must be enough."""
    return path.stat().st_size if path.is_file() else None
