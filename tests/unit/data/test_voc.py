"""Pascal VOC. FAULTS 5, 15, 16 and 17."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import encoded, pixels, real_data
from tests.trees import images, masked, put, turned, voc, voc_xml
from visus.data.dataset import Data, Dataset
from visus.data.open import open_dataset
from visus.data.readers.voc import VOC20
from visus.errors import DataError, UnreadableImage

CAT = ("cat", (1, 1, 10, 20))
# what undoes an orientation, by Pillow
TURNS = {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}  # fmt: skip


def read(root: Path, **settings: object) -> Dataset:
    return open_dataset(Data(source=str(root), **settings))  # type: ignore[arg-type]


def boxes(dataset: Dataset, row: int = 0, split: str = "train") -> list[list[float]]:
    found = dataset.splits[split].target(row).boxes
    assert found is not None
    return found.xyxy.tolist()


def causes(dataset: Dataset) -> dict[str, str]:
    return {each.name: each.cause for each in dataset.skipped}


def test_pixels_count_from_1_and_the_last_one_is_in_the_box(tmp_path):
    # the whole image of 40×30 is 1, 1, 40, 30 in the challenge's development kit
    dataset = read(voc(tmp_path, {"a": [("dog", (1, 1, 40, 30)), ("cat", (11.5, 2, 20.25, 3))], "b": []}))
    assert dataset.schema.targets == ("boxes",)
    assert dataset.schema.labels == ("cat", "dog")
    assert boxes(dataset) == [[0, 0, 40, 30], [10.5, 1, 20.25, 3]]
    assert dataset.splits["train"].target(0).boxes.labels.tolist() == [1, 0]
    assert boxes(dataset, 1) == []
    assert dataset.skipped == ()


def test_lists_divide(tmp_path):
    root = voc(tmp_path, {"a": [CAT], "b": [CAT], "c": [CAT], "d": [CAT]}, train=["a", "no"], val=["b", "a"],
               trainval=["a", "b"], cat_train=["c"])  # fmt: skip
    dataset = read(root)
    assert {split: samples.name(0) for split, samples in dataset.splits.items()} == {
        "train": "JPEGImages/a.png", "val": "JPEGImages/b.png",
    }  # fmt: skip
    assert causes(dataset) == {"ImageSets/Main/train.txt line 2": "no: there is no such image: left out"}
    assert dataset.notes == (
        "1 image in the lists of several splits: the first of train, val, test holds",
        "2 images in no list of a split, left out",
    )


def test_two_years_of_one_kit(tmp_path):
    for year, names in (("VOC2007", "ab"), ("VOC2012", "ac")):
        voc(tmp_path / "VOCdevkit" / year, {name: [CAT] for name in names}, trainval=list(names[:1]), test=[names[1]])
    dataset = read(tmp_path)
    names = {split: [each.name(row) for row in range(len(each))] for split, each in dataset.splits.items()}
    kit = "VOCdevkit/VOC{}/JPEGImages/{}.png"
    assert names == {
        "train": [kit.format(2007, "a"), kit.format(2012, "a")], "test": [kit.format(2007, "b"), kit.format(2012, "c")]
    }  # fmt: skip


def test_beside_images_and_in_folders_of_splits(tmp_path):
    for split in ("train", "valid"):
        images(tmp_path / split, ["1.png"])
        put(tmp_path / split / "1.xml", voc_xml([CAT]))
    assert list(read(tmp_path).splits) == ["train", "val"]


def test_marks_of_objects(tmp_path):
    root = voc(tmp_path, {"a": []})
    part = "<part><name>head</name><bndbox><xmin>5</xmin></bndbox></part>"
    more = f"<difficult>1</difficult><truncated>1</truncated>{part}"
    text = voc_xml([CAT], more=more).replace("</annotation>", voc_xml([("dog", (2, 2, 5, 5))])[12:])
    put(root / "Annotations/a.xml", text.replace("<filename></filename>", "", 1))
    found = read(root).splits["train"].target(0).boxes
    assert found.difficult.tolist() == [True, False]
    assert found.xyxy.tolist() == [[0, 0, 10, 20], [1, 1, 5, 5]]


@pytest.mark.parametrize(
    "data",
    [
        "\ufeff" + voc_xml([("Fuß", (1, 1, 5, 5))]),
        voc_xml([("Fuß", (1, 1, 5, 5))]).encode("latin-1"),
        "\r\n" + voc_xml([("Fuß", (1, 1, 5, 5))]).replace("><", ">\r\n  <"),
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + voc_xml([("Fuß", (1, 1, 5, 5))]).encode("latin-1"),
        voc_xml([("Fuß", (1, 1, 5, 5))]).encode("utf-16"),
    ],
)
def test_encodings_and_line_ends(tmp_path, data):
    root = voc(tmp_path, {"a": []})
    put(root / "Annotations/a.xml", data)
    assert read(root).schema.labels == ("Fuß",)


def test_encodings_of_several_bytes(tmp_path):
    root = voc(tmp_path, {"a": [], "b": []})
    for name, code in (("a", "GBK"), ("b", "klingon")):
        text = f"<?xml version='1.0' encoding='{code}'?>" + voc_xml([("猫", (1, 1, 5, 5))])
        put(root / f"Annotations/{name}.xml", text.encode("gbk"))
    dataset = read(root)
    assert dataset.schema.labels == ("猫",)
    cause = "isn't XML in klingon: unknown encoding: klingon: left out, and its image"
    assert causes(dataset) == {"Annotations/b.xml": cause}


def test_no_annotation_that_can_be_read(tmp_path):
    root = voc(tmp_path, {"a": []})
    put(root / "Annotations/a.xml", "x")
    with pytest.raises(DataError, match=r"no image has an annotation .* Annotations/a\.xml: isn't XML"):
        read(root)


def test_fault_16_boxes_one_by_one(tmp_path):
    given = [("cat", box) for box in ((0, 5, 10, 10), (30, 20, 50, 60), (8, 8, 7, 9), ("nan", 1, 2, 3), (90, 1, 99, 9),
                                      (5, 5, 6, 6), ("x", 1, 2, 3))]  # fmt: skip
    dataset = read(voc(tmp_path, {"a": given}))
    assert boxes(dataset) == [[0, 4, 10, 10], [29, 19, 40, 30], [4, 4, 6, 6]]
    where = "JPEGImages/a.png: Annotations/a.xml object"
    assert causes(dataset) == {
        "Annotations/a.xml": "object 7 (cat) says 'x' for xmin: left out",
        f"{where} 1": "the box (-1, 4, 10, 10) leaves the image of 40×30 pixels: clipped",
        f"{where} 2": "the box (29, 19, 50, 60) leaves the image of 40×30 pixels: clipped",
        f"{where} 3": "the box (7, 7, 7, 9) has no area: left out",
        f"{where} 4": "the box (nan, 0, 2, 3) isn't of numbers: left out",
        f"{where} 5": "the box (89, 0, 99, 9) lies outside of the image: left out",
    }


def test_fault_15_what_belongs_to_nothing_or_is_damaged(tmp_path):
    root = voc(tmp_path, {"a": [CAT], "b": [CAT]})
    put(root / "Annotations/b.xml", voc_xml([CAT])[:-30])
    put(root / "Annotations/c.xml", voc_xml([CAT]))
    put(root / "Annotations/d.xml", voc_xml([CAT], name="a.png"))
    dataset = read(root)
    assert len(dataset.splits["train"]) == 1  # an image whose objects aren't known isn't one without objects
    found = causes(dataset)
    assert found["Annotations/b.xml"].startswith("isn't XML: ")
    assert found["Annotations/c.xml"] == "there is no such image: left out"
    assert found["Annotations/d.xml"] == "is of the same image as Annotations/a.xml: left out"


def test_an_image_without_annotation_is_one_without_objects(tmp_path):
    root = voc(tmp_path, {"a": [CAT]})
    images(root / "JPEGImages", ["z.png"])
    assert boxes(read(root), 1) == []


@pytest.mark.parametrize("size", [None, (0, 0), ("inf", "inf"), ("nan", 5), ("1e30", "1e30")])
def test_without_a_size_the_image_says_it(tmp_path, size):
    root = voc(tmp_path, {"a": []})
    put(root / "Annotations/a.xml", voc_xml([("cat", (30, 1, 99, 9))], size=size))
    assert boxes(read(root)) == [[29, 0, 40, 9]]


BOMB = '<!DOCTYPE b [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 20)
) + "]><annotation><filename>&a19;</filename></annotation>"  # fmt: skip
QUADRATIC = f'<!DOCTYPE b [<!ENTITY a "{"x" * 100_000}">]><annotation>{"&a;" * 100_000}</annotation>'
EXTERNAL = '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'


@pytest.mark.parametrize("text", [BOMB, QUADRATIC, EXTERNAL], ids=["laughs", "quadratic", "external"])
def test_fault_17_entities_are_refused_at_once(tmp_path, text):
    root = voc(tmp_path, {"a": [CAT]})
    put(root / "Annotations/a.xml", text)
    with pytest.raises(DataError, match=r"Annotations/a\.xml: declares the entity a0?: a bomb"):
        read(root)


def test_elements_in_one_another_without_end(tmp_path):
    root = voc(tmp_path, {"a": [CAT], "b": [CAT]})
    put(root / "Annotations/a.xml", "<a>" * 1_000_000)
    assert "in one another" in causes(read(root))["Annotations/a.xml"]


# what has the size of what is stored is taken to be of that
@pytest.mark.parametrize(
    ("orientation", "of"), [(each, "stored") for each in range(1, 9)] + [(each, "upright") for each in range(5, 9)]
)
def test_fault_5_boxes_follow_their_image(tmp_path, orientation, of):
    drawn = np.zeros((30, 40, 3), np.uint8)
    drawn[4:11, 8:30] = 255
    data = turned(drawn, orientation)
    put(tmp_path / "JPEGImages/a.png", data)
    size, box = (40, 30), (9, 5, 30, 11)
    if of == "upright":
        seen = np.asarray(Image.fromarray(drawn).transpose(TURNS[orientation]))
        rows, columns = np.nonzero(seen[..., 0])
        size, box = seen.shape[1::-1], (columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1)
    put(tmp_path / "Annotations/a.xml", voc_xml([("cat", box)], size=size))
    samples = read(tmp_path).splits["train"]
    rows, columns = np.nonzero(samples.read(0).pixels[..., 0])
    wanted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert samples.target(0).boxes.xyxy.tolist() == [wanted]


def test_an_annotation_of_another_size_is_refused_with_its_image(tmp_path):
    root = voc(tmp_path, {"a": []})
    put(root / "Annotations/a.xml", voc_xml([CAT], size=(80, 60)))
    samples = read(root).splits["train"]
    with pytest.raises(UnreadableImage, match="annotation is of 80×60 pixels, and the image has 40×30"):
        samples.target(0)


def seg(root: Path, names: str, segmented: str) -> Path:
    voc(root, {name: [("cat", (1, 1, 5, 5))] for name in names})
    for number, name in enumerate(segmented, 8):
        mask = np.full((30, 40), number, np.uint8)
        mask[0] = 255
        masked(root, {name: mask}, palette=True, folders="JPEGImages SegmentationClass")
    return root


def test_boxes_and_masks_of_the_same_images_come_together(tmp_path):
    dataset = read(seg(tmp_path, "ab", "ab"))
    assert dataset.schema.targets == ("boxes", "mask")
    assert dataset.schema.masks == ("background", *VOC20)  # cat is the eighth
    target = dataset.splits["train"].target(0)
    assert target.boxes.xyxy.tolist() == [[0, 0, 5, 5]]
    assert np.unique(target.mask).tolist() == [8, 255]
    assert (target.mask[0] == 255).all()


def test_where_only_some_have_masks_one_has_to_choose(tmp_path):
    root = seg(tmp_path, "abc", "a")
    put(root / "ImageSets/Main/train.txt", "a\nb\nc")
    put(root / "ImageSets/Segmentation/train.txt", "a")
    with pytest.raises(DataError, match="3 images with boxes, 1 with a mask") as caught:
        read(root)
    assert "data.target=boxes" in caught.value.remedy
    assert "data.target=mask" in caught.value.remedy
    for target, count, targets in (("boxes", 3, ("boxes",)), ("mask", 1, ("mask",)),
                                   (("mask", "boxes"), 1, ("boxes", "mask"))):  # fmt: skip
        dataset = read(root, target=target)
        assert (len(dataset.splits["train"]), dataset.schema.targets) == (count, targets)
    with pytest.raises(DataError, match="that holds no image"):
        read(root, target="image")


def test_real_blood_cells():
    dataset = open_dataset(real_data("bccd.tar"))
    assert dataset.schema.labels == ("Platelets", "RBC", "WBC")
    assert {split: len(each) for split, each in dataset.splits.items()} == {"train": 205, "val": 87, "test": 72}
    count = sum(len(each.target(row).boxes) for each in dataset.splits.values() for row in range(len(each)))
    assert count + len(dataset.skipped) == 4888  # grep -c '<object>' over the annotations


def test_pictures_of_any_ending(tmp_path):
    put(tmp_path / "JPEGImages/a.JPG", encoded(pixels(1, 30, 40), "JPEG"))
    put(tmp_path / "Annotations/a.xml", voc_xml([CAT]))
    assert boxes(read(tmp_path)) == [[0, 0, 10, 20]]
