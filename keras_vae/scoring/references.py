"""The scores of normal examples, beside which those of others are put: a folder that an earlier scoring wrote."""

import json
from pathlib import Path

import numpy as np

from keras_vae.errors import UserError, reading, required
from keras_vae.runtimes.bundle import Bundle
from keras_vae.scoring.measures import Columns, Measure
from keras_vae.scoring.plan import MANIFEST

ANOMALOUS = ("anomaly", "reconstruction_error")  # whose higher scores are stranger


def reference_scores(folder: str | Path, bundle: Bundle, what: str) -> np.ndarray:
    """Return the scores of a folder in ascending order.

    Args:
      folder: written by `score`.
      bundle: that the scores must be of.
      what: the measure that they must be of.

    Raises:
      UserError: scores of another bundle or measure, or that are not complete.
    """
    if what not in ANOMALOUS:
        raise UserError(f"A reference belongs to the measures {' and '.join(ANOMALOUS)}. Given: {what}. Leave it out.")
    folder = Path(folder)
    remedy = f"Score normal examples first: keras-vae score {bundle.path} NORMAL --what {what} --output FOLDER."
    with reading(folder, "is no folder of scores", remedy):
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if (document["bundle"], document["what"]) != (bundle.digest, what):
            same = "another bundle" if document["what"] == what else f"the measure {document['what']}"
            raise UserError(
                f"A reference must be scored with the same bundle and measure. Given: {folder}, of {same}. {remedy}"
            )
        parts = sorted(folder.glob("part-*.parquet"))
        if len(parts) != document["shards"]:
            raise ValueError(f"it has {len(parts)} of {document['shards']} parts")
        parquet = required("pyarrow.parquet", "pyarrow")
        tables = [parquet.ParquetFile(part).read() for part in parts]
        columns = [table.column(what).to_numpy() for table in tables if len(table)]  # of bad rows alone has none
        if not columns or not all(np.isfinite(column).all() for column in columns):
            raise ValueError("it has no scores, or some that are not finite")
        return np.sort(np.concatenate(columns))


def ranked(measure: Measure, what: str, reference: np.ndarray) -> Measure:
    """Return a measure with one more column, `false_positive_rate`: the share of the reference that scores as high.

    An example has at most the rate r where `tasks.anomaly.threshold(reference, r)` calls it an anomaly. The measure
    raises a UserError of scores that are not finite, which have no rank.
    """

    def beside(x: np.ndarray, rows: np.ndarray) -> Columns:
        columns = measure(x, rows)
        if not (finite := np.isfinite(columns[what])).all():
            raise UserError(
                f"A score must be finite to be put beside a reference. Given: {what} {columns[what][~finite][0]}. Look "
                f"at the example, or score without a reference."
            )
        below = np.searchsorted(reference, columns[what], side="left")
        return {**columns, "false_positive_rate": (len(reference) - below) / len(reference)}

    return beside
