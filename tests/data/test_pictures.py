"""Folders of pictures: real files of several formats, their pixels, labels, splits, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from keras_vae import data
from keras_vae.errors import UserError
from keras_vae.scoring import inputs
from tests.toys import PLAIN, mlp, toy


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """60 pictures of 6 x 4 pixels in two classes, each of one colour that its name has."""
    for index in range(60):
        colour = np.full((6, 4, 3), (index, 255 - index, 7), "uint8")
        save(tmp_path / ("cats", "dogs")[index % 2] / f"{index:02}{('.png', '.bmp', '.tiff')[index % 3]}", colour)
    (tmp_path / "LICENSE").write_text("text")
    (tmp_path / "cats" / ".hidden.png").write_bytes(b"nothing")
    return tmp_path


def test_pixels_labels_and_names_belong_together(folder):
    parts = [data.read_folder(folder, split=split) for split in ("train", "validation", "test")]
    names = [name for part in parts for name in part.names]
    assert len(names) == 60 and len(set(names)) == 60 and all(len(part.names) for part in parts)
    for part in parts:
        assert part.classes == ("cats", "dogs") and list(part.names) == sorted(part.names)
        assert part.images.shape == (len(part.names), 6, 4, 3) and part.images.dtype == np.uint8
        for image, label, name in zip(part.images, part.labels, part.names, strict=True):
            number = int(name.split("/")[1][:2])
            assert (image == (number, 255 - number, 7)).all() and label == number % 2


def test_what_programs_hide_is_no_picture(folder):
    """Jupyter copies into .ipynb_checkpoints, macOS into .AppleDouble; a hidden folder above is no matter."""
    before = data.read_folder(folder, split=None)
    save(folder / ".ipynb_checkpoints" / "0.png", np.zeros((6, 4, 3), "uint8"))
    save(folder / "cats" / ".thumbnails" / "deep" / "0.png", np.zeros((6, 4, 3), "uint8"))
    after = data.read_folder(folder, split=None)
    assert after.classes == before.classes == ("cats", "dogs") and after.names == before.names
    hidden = folder / ".mine"
    save(hidden / "a.png", np.zeros((6, 4, 3), "uint8"))
    assert data.read_folder(hidden, split=None).names == ("a.png",)
    assert inputs.Pictures(folder, inputs.Layout((8, 8, 3), pixels=True)).names == list(before.names)


def test_folders_that_are_links_are_followed_and_loops_are_not(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    save(elsewhere / "new.png", np.zeros((6, 4, 3), "uint8"))
    (elsewhere / "again").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    (folder / "ants").symlink_to(elsewhere)
    (folder / "cats" / "up").symlink_to(folder)
    (folder / "gone").symlink_to(elsewhere / "nowhere")
    parts = data.read_folder(folder, split=None)
    assert parts.classes == ("ants", "cats", "dogs") and len(parts.names) == 61 and "ants/new.png" in parts.names
    assert (parts.images[parts.names.index("ants/new.png")] == 0).all()
    assert inputs.Pictures(folder, inputs.Layout((8, 8, 3), pixels=True)).names == list(parts.names)


def test_files_that_come_move_none(folder):
    before = data.read_folder(folder, split="test").names
    save(folder / "ants" / "new.png", np.zeros((6, 4, 3), "uint8"))
    after = data.read_folder(folder, split="test")
    assert set(before) <= set(after.names) <= {*before, "ants/new.png"}
    assert after.classes == ("ants", "cats", "dogs")
    assert data.read_folder(folder, split="train[3:5]").names == data.read_folder(folder).names[3:5]


def test_batches_train_a_model(folder):
    dataset = data.folder(folder, batch_size=8, seed=1)
    batch = next(dataset.as_numpy_iterator())
    assert batch["x"].shape == (8, 6, 4, 3) and batch["x"].dtype == np.float32 and batch["x"].max() <= 1
    pixels = np.rint(batch["x"][:, 0, 0] * 255)
    np.testing.assert_array_equal(pixels[:, 0] % 2, batch["y"])
    model = toy(image_shape=(6, 4, 3), likelihood="gaussian", encoder=mlp(), decoder=mlp())
    model.compile(**PLAIN)
    validation = data.folder(folder, split="validation")
    history = model.fit(dataset, validation_data=validation, verbose=0).history
    assert np.isfinite(history["val_elbo"]).all()


def test_resizing_squeezes_or_crops(tmp_path):
    picture = np.zeros((8, 16, 3), "uint8")
    picture[:, 4:12] = 200
    save(tmp_path / "wide.png", picture)
    for name in ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png"):
        save(tmp_path / name, picture)
    cropped = data.read_folder(tmp_path, size=4, crop=True).images[0]
    squeezed = data.read_folder(tmp_path, size=(4, 4)).images[0]
    assert cropped.min() > 180 and cropped.shape == (4, 4, 3)
    assert abs(int(squeezed.mean()) - 100) < 3 and not (squeezed == 200).all()
    assert data.read_folder(tmp_path, size=4).labels is None
    assert data.read_folder(tmp_path, size=4, grey=True).images.shape[1:] == (4, 4, 1)


def test_what_is_transparent_lies_on_white_and_what_is_turned_is_upright(tmp_path):
    clear = np.full((4, 4, 4), (9, 9, 9, 0), "uint8")
    turned = np.zeros((2, 4, 3), "uint8")
    turned[:, :2] = 255
    orientation = Image.Exif()
    orientation[0x0112] = 6  # turn by 90 degrees, clockwise, to see it
    for index in range(12):
        save(tmp_path / "clear" / f"{index}.png", clear)
        save(tmp_path / "turned" / f"{index}.png", turned, exif=orientation)
    assert (data.read_folder(tmp_path / "clear").images == 255).all()
    images = data.read_folder(tmp_path / "turned", size=(4, 2)).images
    assert images.shape[1:3] == (4, 2) and (images[:, :2] == 255).all() and (images[:, 2:] == 0).all()


def test_what_is_refused(folder, tmp_path):
    def refused(message, path=folder, **options):
        with pytest.raises(UserError, match=message):
            data.folder(path, **options)

    refused(r"read from a folder\. Given: .*none", folder / "nowhere")
    refused(r"size is one number, or \(height, width\)\. Given: \(1, 2, 3\)", size=(1, 2, 3))
    refused(r"size must be a whole number, 1 or more", size=0)
    refused(r"split is one of train", split="all")
    refused(r"holds no examples", split="test[100:]")
    refused(r"one full batch: 500 examples", batch_size=500)
    (tmp_path / "empty").mkdir()
    refused(r"such as \.png\. Given: .*without any", tmp_path / "empty")
    for index in range(12):
        save(tmp_path / "deep" / f"{index}.png", np.full((4, 4), 60_000, "uint16"))
        save(tmp_path / "sizes" / f"{index}.png", np.zeros((4, 4 + index), "uint8"))
    refused(r"8 bits a channel\. Given: \d+\.png, of the mode I;16", tmp_path / "deep")
    refused(r"that of the first, 4 x \d+\. Given: \d+\.png, of 4 x \d+\. Give size=", tmp_path / "sizes")
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:40])
    refused(r"is no picture that Pillow reads: .* Take it out of the folder")
    save(folder / "loose.png", np.zeros((4, 4), "uint8"))
    refused(r"all in subfolders, which are their labels\. Given: .* with loose\.png and cats/")
