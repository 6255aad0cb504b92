"""Small trees of images with boxes, masks or images wanted, in the layouts that people have."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

from tests.helpers import encoded, pixels

Named = tuple[str, tuple[float, float, float, float]]  # a class; left, top, right, bottom


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def images(folder: Path, names: Sequence[str], height: int = 30, width: int = 40) -> None:
    """PNG noise, the same for the same name, under names with any ending."""
    for name in names:
        put(folder / name, encoded(pixels(crc32(name.encode()), height, width)))


def turned(values: np.ndarray, orientation: int) -> bytes:
    """A PNG of H×W×C uint8 pixels as they are stored, that says how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", exif=exif)
    return file.getvalue()


def voc_xml(objects: Sequence[Named], size: tuple[int, int] | None = (40, 30), name: str = "", more: str = "") -> str:
    """size: width and height. Corners are as they stand in the file."""
    said = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    each = "".join(
        f"<object><name>{kind}</name>{more}<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
        f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for kind, box in objects
    )
    return f"<annotation><filename>{name}</filename>{said}{each}</annotation>"


def voc(root: Path, said: Mapping[str, Sequence[Named]], **lists: Sequence[str]) -> Path:
    images(root / "JPEGImages", [f"{name}.png" for name in said])
    for name, objects in said.items():
        put(root / f"Annotations/{name}.xml", voc_xml(objects))
    for split, names in lists.items():
        put(root / f"ImageSets/Main/{split}.txt", "\n".join(names))
    return root


def coco_json(
    files: Sequence[str], annotations: Sequence[Mapping[str, Any]], size: tuple[int, int] = (40, 30),
    names: Sequence[str] = ("cat", "dog"),
) -> str:  # fmt: skip
    """Images 1, 2, … of width and height `size`; categories 1, 2, …"""
    return json.dumps(
        {
            "images": [
                {"id": number, "file_name": name, "width": size[0], "height": size[1]}
                for number, name in enumerate(files, 1)
            ],
            "annotations": [{"id": number, "iscrowd": 0, **each} for number, each in enumerate(annotations, 1)],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        }
    )


def coco(root: Path, files: Sequence[str], annotations: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    images(root / "images", files)
    put(root / "annotations/instances_train.json", coco_json(files, annotations, **options))
    return root


def yolo(root: Path, said: Mapping[str, str], yaml: str = "names: [cat, dog]\ntrain: images\n") -> Path:
    """said: the lines of each image."""
    images(root / "images", [f"{name}.png" for name in said])
    for name, lines in said.items():
        put(root / f"labels/{name}.txt", lines)
    put(root / "data.yaml", yaml)
    return root


def masked(root: Path, masks: Mapping[str, np.ndarray], palette: bool = False, folders: str = "images masks") -> Path:
    """Images with masks of H×W or H×W×3 uint8. folders: what those of both are called."""
    one, other = folders.split()
    for name, mask in masks.items():
        images(root / one, [f"{name}.png"], *mask.shape[:2])
        drawn = Image.fromarray(mask)
        if palette:
            drawn = Image.fromarray(mask, "L")
            drawn.putpalette(bytes(range(256)) * 3)
        file = io.BytesIO()
        drawn.save(file, "PNG")
        put(root / other / f"{name}.png", file.getvalue())
    return root
