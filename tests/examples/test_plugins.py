"""The sources under examples/plugins read what their packages wrote, where these are installed."""

import importlib.util
import tomllib
from pathlib import Path

import numpy as np
import pytest

from keras_vae import data
from keras_vae.errors import UserError

FOLDER = Path(__file__).resolve().parents[2] / "examples/plugins"
PARTS = ("train", "validation", "test")


def plugin(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / name / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.filterwarnings("ignore")  # of a package that is none of ours
def test_cells_of_an_anndata_file(tmp_path, sparse):
    anndata = pytest.importorskip("anndata", reason="anndata is not installed: pip install anndata")
    pandas, scipy = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    counts = np.random.default_rng(0).poisson(1.0, (200, 7)).astype("float32")
    kinds = pandas.Series([None if i == 3 else "ab"[i % 2] for i in range(200)], dtype="category")
    kinds.index = kinds.index.astype(str)
    cells = anndata.AnnData(np.log1p(counts), obs=pandas.DataFrame({"kind": kinds}))
    cells.layers["counts"] = scipy.csr_matrix(counts) if sparse else counts
    with anndata.settings.override(allow_write_nullable_strings=True):
        cells.write_h5ad(tmp_path / "cells.h5ad")
    read = plugin("keras_vae_anndata").read
    whole = read(tmp_path / "cells.h5ad", layer="counts", label="kind")
    assert whole.classes == ("a", "b") and whole.labels[:5].tolist() == [0, 1, 0, -1, 0] and len(whole.columns) == 7
    np.testing.assert_array_equal(whole.images[np.arange(200)], counts)
    parts = [read(tmp_path / "cells.h5ad", part, "counts") for part in PARTS]
    assert sum(len(part.images) for part in parts) == 200
    batch = next(iter(data.load(lambda split: read(tmp_path / "cells.h5ad", split, "counts"), "train", batch_size=9)))
    assert batch["x"].shape == (9, 7)
    for words, message in (({"layer": "count"}, "Did you mean 'counts'"), ({"label": "kin"}, "Did you mean 'kind'")):
        with pytest.raises(UserError, match=message):
            read(tmp_path / "cells.h5ad", **words)
    (tmp_path / "no.h5ad").write_text("no")
    with pytest.raises(UserError, match=r"is no AnnData file: .* Save it with adata\.write_h5ad"):
        read(tmp_path / "no.h5ad")


def test_tables_of_polars(tmp_path):
    polars = pytest.importorskip("polars", reason="polars is not installed: pip install polars")
    x = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    holes = [None if i == 5 else float(value) for i, value in enumerate(x[:, 0])]
    frame = polars.DataFrame({"a": holes, "b": x[:, 1], "kind": ["xy"[i % 2] for i in range(200)]})
    frame.write_ipc(tmp_path / "a.ipc")
    frame.write_csv(tmp_path / "a.csv")
    read = plugin("keras_vae_polars").read
    for name in ("a.ipc", "a.csv"):
        whole = read(tmp_path / name, label="kind", missing=True)
        assert whole.columns == ("a", "b") and whole.classes == ("x", "y") and np.isnan(whole.images[5, 0])
        np.testing.assert_allclose(whole.images[:5], x[:5], rtol=1e-6)
    with pytest.raises(UserError, match=r"no empty cells|finite numbers"):
        read(tmp_path / "a.ipc", label="kind")
    with pytest.raises(UserError, match="Unknown suffix"):
        read(tmp_path / "a.xls")


@pytest.mark.parametrize("name", ["keras_vae_anndata", "keras_vae_polars"])
def test_a_package_declares_its_source(name):
    project = tomllib.loads((FOLDER / name / "pyproject.toml").read_text())["project"]
    (target,) = project["entry-points"]["keras_vae.sources"].values()
    module, _, function = target.partition(":")
    assert module == name and f"def {function}(" in (FOLDER / name / f"{module}.py").read_text()
