"""Where shards are scored: in threads of this process, or by a pool of Ray's actors."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from keras_vae import checks, runtimes
from keras_vae.errors import UserError, required
from keras_vae.progress import count, listening
from keras_vae.registry import choose
from keras_vae.runtimes.base import available_processors
from keras_vae.runtimes.bundle import Bundle, read_bundle
from keras_vae.scoring import inputs, measures, plan
from keras_vae.scoring.layouts import layout_of
from keras_vae.scoring.plan import Plan, Shard
from keras_vae.scoring.references import ranked, reference_scores

Progress = Callable[[int, int], None]  # rows that are done, of all
SHARD_ROWS = 65536


class Scored(NamedTuple):
    """The result of `score`."""

    folder: Path
    rows: int  # that were scored
    bad: int  # that could not be
    done: int  # shards that this run scored; the others were there


class Worker:
    """A bundle opened once, which scores any number of shards.

    Args:
      work: the plan.
      threads: of one call of ONNX Runtime.
    """

    def __init__(self, work: Plan, threads: int = 1) -> None:
        runtime = runtimes.open(work.bundle, "onnxruntime", threads=threads)
        if runtime.bundle.digest != work.document["bundle"]:
            raise UserError(f"The bundle was exported anew while it is scored. Given: {work.bundle}. Begin anew.")
        self.plan, self.measure = work, measures.measure_of(runtime, work.what, work.seed)
        if work.reference is not None:
            self.measure = ranked(self.measure, work.what, work.reference)
        self.layout = layout_of(runtime.bundle)

    def score(self, shard: Shard) -> int:
        """Write the file of a shard; return the number of its rows."""
        plan.write_shard(self.plan, shard, self.measure, self.layout)
        return shard.rows

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score the shards of a batch of Ray's: `number` -> `rows`."""
        return {"rows": [self.score(self.plan.shards[int(number)]) for number in batch["number"]]}


def local(work: Plan, shards: Sequence[Shard], workers: int) -> Iterator[int]:
    """Score shards in threads of this process, which read, compute and write at the same time; yield rows done."""
    worker = Worker(work)
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(worker.score, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def ray(work: Plan, shards: Sequence[Shard], workers: int) -> Iterator[int]:
    """Score shards by a pool of actors of Ray Data, on the cluster of RAY_ADDRESS or on this machine; yield rows done.

    An actor or a node that is lost is replaced, and its shard scored again. All nodes read the inputs and write the
    output by the same paths.
    """
    engine, data = (required(name, "keras_vae[ray]") for name in ("ray", "ray.data"))
    if not engine.is_initialized():
        engine.init(log_to_driver=False, include_dashboard=False)
    data.DataContext.get_current().enable_progress_bars = False  # `progress` reports
    rows = data.from_items([{"number": shard.number} for shard in shards], override_num_blocks=len(shards))
    scored = rows.map_batches(
        Worker,
        fn_constructor_args=(work,),
        batch_size=1,
        compute=data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(shards))),
        num_cpus=1,
    )
    for row in scored.iter_rows():
        yield int(row["rows"])


ENGINES: dict[str, Callable[[Plan, Sequence[Shard], int], Iterator[int]]] = {"local": local, "ray": ray}


@listening("")
def score(
    bundle: Bundle | str | Path,
    data: str | Path,
    output: str | Path,
    what: str = "codes",
    engine: str = "local",
    workers: int | None = None,
    seed: int = 0,
    bad_share: float = 0.0,
    shard_rows: int = SHARD_ROWS,
    overwrite: bool = False,
    feature: str | None = None,
    reference: str | Path | None = None,
    progress: Progress = count,
) -> Scored:
    """Score every example of `data` and write parquet files, one for each shard of rows, or those that are missing.

    Args:
      bundle: exported with the format onnx.
      data: a `.npy`, `.parquet`, TFRecord or ArrayRecord file, a folder of such files, or a folder of pictures.
      output: the folder to write: `part-NNNNNN.parquet` with the columns `file`, `row` and those of the measure,
        `part-NNNNNN.bad.jsonl` with the rows that could not be scored and why, and `scores.json`, which says of which
        bundle and input they are.
      what: `"codes"`, `"reconstruction_error"` (squared, summed over what is observed of x), `"elbo"` (with `log_px`
        and `kl`, nats), or `"anomaly"` (-ELBO); the last two of a bundle that was exported with elbo.
      engine: `"local"`, or `"ray"`.
      workers: threads, or actors; by default the processors of this machine.
      seed: of the noise of an ELBO, which depends on this and on the row.
      bad_share: the share of rows that may be bad.
      shard_rows: rows of a file, and what is lost at most with a process.
      overwrite: start over in a folder that holds other scores.
      feature: of the Examples of TFRecord files, if they have several.
      reference: a folder of scores of normal examples, by the same bundle and measure, `"anomaly"` or
        `"reconstruction_error"`: adds the column `false_positive_rate`, the share of them that scores as high.
      progress: called with the rows that are done, and all; by default a notebook's cell shows them.

    Raises:
      UserError: an argument that does not fit; more bad rows than are allowed, after all others are written.
      UnavailableError: Ray, pyarrow or a reader is not installed.
    """
    run, bundle = choose("engine", engine, ENGINES), read_bundle(bundle)
    required("pyarrow.parquet", "pyarrow")
    workers = available_processors() if workers is None else checks.check_whole_number(workers, "workers")
    seed = checks.check_whole_number(seed, "seed", minimum=0)
    if not checks.is_number(bad_share) or not 0 <= bad_share <= 1:
        raise UserError(f"bad_share must be a share, from 0 to 1. Given: {bad_share!r}.")
    rows = checks.check_whole_number(shard_rows, "shard_rows")
    runtime = runtimes.open(bundle, "onnxruntime", threads=1)
    measures.measure_of(runtime, what, seed)  # refused before anything is written
    normal = None if reference is None else reference_scores(reference, bundle, what)
    work = plan.planned(bundle, inputs.listed(data), Path(output), what, seed, feature, normal, rows, overwrite)
    pending = work.pending()
    done = work.rows - sum(shard.rows for shard in pending)
    for more in run(work, pending, workers) if pending else ():
        done += more
        progress(done, work.rows)
    scored, bad, reasons = plan.totals(work)
    if bad > bad_share * work.rows:
        raise UserError(
            f"At most {bad_share:.4%} of the rows may be bad. Given: {bad:,} of {work.rows:,}, such as "
            f"{reasons[0].rstrip('.')}. All others are scored in {output}; *.bad.jsonl lists these. "
            f"Allow them with --bad-share."
        )
    return Scored(Path(output), scored, bad, len(pending))
