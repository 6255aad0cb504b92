"""Tables, written here as text, with numpy, or with pyarrow."""

import io
import os
import sys
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from visus.data.dataset import Data
from visus.data.readers.npz import means_classes
from visus.data.readers.tables import TABLES
from visus.errors import DataError, MissingPart


@pytest.fixture
def table(tmp_path):
    """Write a table and read it."""

    def read(text: str | bytes, name: str = "set.csv", **settings):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        assert TABLES.recognises(path)
        return TABLES.read(path, Data(**settings))

    return read


@pytest.fixture
def npz(tmp_path):
    """Write an .npz and read it."""

    def read(target: tuple[str, ...] | None = None, **arrays):
        path = tmp_path / "set.npz"
        np.savez(path, **{name: np.asarray(each) for name, each in arrays.items()})
        return TABLES.read(path, Data(target=target))

    return read


def rows(samples):
    return [(samples.read(row).tolist(), samples.target(row)) for row in range(len(samples))]


def labels(found, split="train"):
    samples = found.splits[split]
    return [found.schema.labels[samples.target(row).label] for row in range(len(samples))]


# CSV


@pytest.mark.parametrize(("comma", "name"), [(",", "set.csv"), (";", "set.csv"), ("\t", "set.csv"), ("\t", "set.tsv")])
def test_classes_by_name(table, comma, name):
    text = "width,species,height\n1.5,img10,-2\n0.25,img2,4e1\n"
    found = table("\ufeff" + text.replace(",", comma), name)
    assert found.schema.inputs == "vector"
    assert (found.schema.shape, found.schema.features) == ((2,), ("width", "height"))
    assert (found.schema.targets, found.schema.labels) == (("label",), ("img2", "img10"))  # natural order
    assert [(values, target.label) for values, target in rows(found.splits["train"])] == [
        ([1.5, -2.0], 1),
        ([0.25, 40.0], 0),
    ]
    assert found.splits["train"].read(0).dtype == np.float32
    assert found.name == "set"
    assert "'species' (by its name" in found.notes[0]


def test_quoted_cells_keep_their_commas_and_line_breaks(table):
    found = table('x,label\n1,"a, b"\n\n2,"c\nd"\n')
    assert found.schema.labels == ("a, b", "c\nd")


def test_first_row_of_numbers_is_data(table):
    found = table("1,2,0.5\n3,4,0.75\n")
    assert found.schema.features == ("f0", "f1")
    assert found.schema.values == ("f2",)
    assert rows(found.splits["train"])[0][1].values == (0.5,)
    assert "'f2' (the last column" in found.notes[0]


@pytest.mark.parametrize(
    ("cells", "job"),
    [
        (["a", "b"] * 3, "label"),
        (["True", "False"] * 3, "label"),
        (["0", "1", "2"] * 2, "label"),
        (["1.0", "2.0"] * 3, "label"),
        ([str(each) for each in range(21)] * 3, "values"),  # more than 20
        (["1", "2", "3"], "values"),  # hardly one of each
        (["0.5", "1", "2"] * 2, "values"),
    ],
)
def test_which_job_the_last_column_means(table, cells, job):
    found = table("x,out\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells)))
    assert found.schema.targets == (job,)


def test_a_column_named_class_holds_classes_however_many(table):
    found = table("x,Class\n" + "".join(f"{row},{row * 5 - 5}\n" for row in range(30)))
    assert found.schema.labels == tuple(str(row * 5 - 5) for row in range(30))


def test_whole_numbers_written_as_floats(table):
    assert table("x,label\n1,1.0\n2,10.0\n3,2.0\n").schema.labels == ("1", "2", "10")


def test_two_targets_are_regression(table):
    found = table("a,b,c,d\n1,2,3,4\n5,6,7,8\n", target=("d", "b"))
    assert (found.schema.features, found.schema.values) == (("a", "c"), ("d", "b"))
    assert [target.values for _, target in rows(found.splits["train"])] == [(4.0, 2.0), (8.0, 6.0)]


def test_unknown_target(table):
    with pytest.raises(DataError, match=r"no column 'heigth'(.|\n)*did you mean height"):
        table("height,y\n1,2\n", target=("heigth",))


def test_numbers_of_rows_are_no_feature(table):
    found = table(",id,x,note,label\n0,7,1.5,hello,a\n1,8,2.5,there,b\n")
    assert found.schema.features == ("x",)
    assert "column 1, id, note" in found.notes[1]


def test_several_classes_of_one_row(table):
    found = table("x,tags\n1,red|big\n2,\n3,blue\n")
    assert (found.schema.targets, found.schema.labels) == (("labels",), ("big", "blue", "red"))
    assert [target.labels for _, target in rows(found.splits["train"])] == [(0, 2), (), (1,)]


def test_splits(table):
    found = table("x,split,label\n1,train,a\n2,TEST,b\n3,valid,a\n4,train,b\n")
    assert {split: [values[0] for values, _ in rows(each)] for split, each in found.splits.items()} == {
        "train": [1, 4],
        "val": [3],
        "test": [2],
    }
    assert found.splits["val"].name(0) == "set/val[0]"
    with pytest.raises(DataError, match=r"set.csv, line 3, column 'split': 'holdout' is none of"):
        table("x,split,label\n1,train,a\n2,holdout,b\n")


@pytest.mark.parametrize("gap", ["", "NA", "nan", "NaN", " null "])
def test_rows_with_gaps_are_skipped(table, gap):
    found = table(f"x,z,label\n1,{gap},a\n2,5,b\n3,5,{gap}\n4,5,a\n")
    assert [values for values, _ in rows(found.splits["train"])] == [[2, 5], [4, 5]]
    assert [(each.name.rpartition(", ")[2], each.cause) for each in found.skipped] == [
        ("line 2", "no value in column 'z'"),
        ("line 4", "no value in column 'label'"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,label\n1,a\n2\n", "set.csv, line 3: 1 cells, and there are 2 columns"),
        ("x,label\n1,a\n2,b,c\n", "line 3: 3 cells"),
        ("x,label\n1,a\nfive,b\n", "line 3, column 'x': 'five' isn't a number"),
        ("x,label\n1,a\ninf,b\n", "line 3, column 'x': inf isn't a number that float32 can hold"),
        ("x,label\n1,a\n1e300,b\n", "line 3, column 'x': 1e[+]300"),
        ("x,y\n1,0.5\n2,0,5\n", "line 3: 3 cells"),
        ("x,y\n1,0.5\n2,big\n", "line 3, column 'y': 'big' isn't a number"),
        ("x,y\n1,0.5\n2,inf\n", "line 3, column 'y': 'inf' isn't a number"),
        ("", "is empty"),
        ("x,label\n", "has no rows"),
        ("x,label\n,a\nNA,b\n", "no numeric column"),
        ("x,label\n1,\n2,\n", "target column 'label' is empty"),
        ("x,label\n1,a\n2,a\n", r"one class only \(a\)"),
        ("x,x,label\n1,2,a\n", "two columns named 'x'"),
        ("name,label\nbob,a\n", "no numeric column beside the target"),
        ("label\na\n", "no numeric column"),
        (b"x,label\n1,\xff\n", "isn't UTF-8"),
        ('x,label\n1,"' + "a" * 200_000 + '"\n', "field larger than"),
    ],
)
def test_errors_say_where(table, text, said):
    with pytest.raises(DataError, match=said):
        table(text)


def test_a_block_boundary_changes_nothing(table):
    count = 2500
    found = table("x,y\n" + "".join(f"{row},{row / 2}\n" for row in range(count)))
    samples = found.splits["train"]
    assert len(samples) == count
    assert all(samples.read(row)[0] == row and samples.target(row).values == (row / 2,) for row in range(count))
    with pytest.raises(DataError, match="line 2502, column 'x': 'q'"):
        table("x,y\n" + "".join(f"{row},{row / 2}\n" for row in range(count)) + "q,1\n")


# image files


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "pics").mkdir()
    for name, grey in (("a", 0), ("b", 100), ("ü", 200)):
        Image.new("L", (3, 2), grey).save(tmp_path / "pics" / f"{name}.png")
    return tmp_path


def test_images_with_classes(table, pictures):
    found = table(f"filename,label\npics/b.png,x\n{pictures / 'pics' / 'a.png'},y\npics/ü.png,x\n")
    assert (found.schema.inputs, found.schema.shape, found.schema.labels) == ("image", (1, 2, 3), ("x", "y"))
    samples = found.splits["train"]
    assert [int(samples.read(row).pixels[0, 0, 0]) for row in range(3)] == [100, 0, 200]
    assert samples.name(2) == "pics/ü.png"
    assert labels(found) == ["x", "y", "x"]


def test_images_with_values(table, pictures):
    found = table("image,age,weight\npics/a.png,3.5,1\npics/b.png,4,2\n", target=("age",))
    assert (found.schema.targets, found.schema.values, found.schema.features) == (("values",), ("age",), ())
    assert found.splits["train"].target(0).values == (3.5,)


def test_images_with_several_classes(table, pictures):
    found = table("path,labels\npics/a.png,cat\npics/b.png,\n")
    assert (found.schema.targets, found.schema.labels) == (("labels",), ("cat",))
    assert [found.splits["train"].target(row).labels for row in range(2)] == [(0,), ()]


def test_images_that_are_not_there(table, pictures):
    if hasattr(os, "mkfifo"):
        os.mkfifo(pictures / "pipe.png")
    found = table("file,label\npics/a.png,x\nno.png,y\npics,y\npipe.png,y\npics/b.png,y\n")
    assert labels(found) == ["x", "y"]
    assert [(each.name, each.cause.split(" (")[0]) for each in found.skipped][:2] == [
        ("no.png", "no such file or directory"),
        ("pics", "isn't a regular file"),
    ]
    assert all("line" in each.cause for each in found.skipped)
    with pytest.raises(DataError, match=r"all 2 rows had to be left out(.|\n)*no.png"):
        table("file,label\nno.png,y\nnor.png,x\n")


# Parquet


def test_parquet(tmp_path):
    path = tmp_path / "set.parquet"
    columns = {
        "a": pa.array([1, 2, None, 4], pa.int16()),
        "b": pa.array([0.5, 1.5, 2.5, float("nan")], pa.float64()),
        "c": pa.array([True, False, True, True]),
        "when": pa.array([1, 2, 3, 4], pa.timestamp("s")),
        "label": pa.array(["x", "y", "x", "y"]).dictionary_encode(),
    }
    parquet.write_table(pa.table(columns), path)
    found = TABLES.read(path, Data())
    assert found.schema.features == ("a", "b", "c")
    assert [(values, target.label) for values, target in rows(found.splits["train"])] == [
        ([1, 0.5, 1], 0),
        ([2, 1.5, 0], 1),
    ]
    assert [each.name.rpartition(", ")[2] for each in found.skipped] == ["row 2", "row 3"]


def test_parquet_with_cells_that_are_lists(tmp_path):
    path = tmp_path / "set.parquet"
    parquet.write_table(pa.table({"x": [1, 2], "label": [[1], [2]]}), path)
    with pytest.raises(DataError, match="column 'label' are lists"):
        TABLES.read(path, Data())


def test_damaged_text_in_parquet(tmp_path):
    path = tmp_path / "set.parquet"
    parquet.write_table(pa.table({"x": [1, 2], "label": ["hither", "thither"]}), path, compression="none")
    path.write_bytes(path.read_bytes().replace(b"hither", b"\xffither"))
    with pytest.raises(DataError, match="can't be read as Parquet"):
        TABLES.read(path, Data())


def test_damaged_parquet(table):
    with pytest.raises(DataError, match="can't be read as Parquet"):
        table(b"PAR1 but not really PAR1", "set.parquet")


def test_parquet_without_pyarrow(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPart, match=r"visus\[parquet\]"):
        table(b"PAR1", "set.parquet")


# NumPy


def test_npz_of_images(npz):
    grey = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    found = npz(x_train=grey, y_train=[0, 2, 1, 2], x_test=grey[:1], y_test=[[2]], x_val=grey[:2], y_val=[1, 0])
    assert (found.schema.shape, found.schema.labels) == ((1, 2, 3), ("0", "1", "2"))
    np.testing.assert_array_equal(found.splits["train"].read(3).pixels[..., 0], grey[3])
    assert {split: labels(found, split) for split in found.splits} == {
        "train": ["0", "2", "1", "2"],
        "val": ["1", "0"],
        "test": ["2"],
    }


def test_npz_in_fortran_order(npz):
    colour = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    found = npz(train_images=np.asfortranarray(colour), train_labels=np.asfortranarray(np.array([[0], [1]])))
    assert found.schema.shape == (3, 4, 5)
    np.testing.assert_array_equal(found.splits["train"].read(1).pixels, colour[1])


@pytest.mark.parametrize(
    ("y", "field", "wanted"),
    [
        ([0, 1, 1, 0], "label", [0, 1, 1, 0]),
        ([0.0, 1.0, 1.0, 0.0], "label", [0, 1, 1, 0]),
        ([0.5, 1.0, 1.0, 0.0], "values", [(0.5,), (1.0,), (1.0,), (0.0,)]),
        ([1, 2, 3, 4], "values", [(1.0,), (2.0,), (3.0,), (4.0,)]),
        (["b10", "b9", "b9", "b10"], "label", [1, 0, 0, 1]),
        ([True, False, True, True], "label", [1, 0, 1, 1]),
        ([[0, 1], [1, 1], [0, 0], [1, 0]], "labels", [(1,), (0, 1), (), (0,)]),
        ([[0.5, 1], [2, 3], [4, 5], [6, 7]], "values", [(0.5, 1.0), (2.0, 3.0), (4.0, 5.0), (6.0, 7.0)]),
    ],
)
def test_npz_of_vectors(npz, y, field, wanted):
    found = npz(x=[[1.5, 2], [3, 4], [5, 6], [7, 8]], y=y)
    assert (found.schema.inputs, found.schema.shape, found.schema.targets) == ("vector", (2,), (field,))
    assert [getattr(target, field) for _, target in rows(found.splits["train"])] == wanted
    assert rows(found.splits["train"])[0][0] == [1.5, 2.0]


def test_npz_gaps_are_skipped(npz):
    found = npz(x=[[1, 2], [3, np.nan], [5, 6]], labels=["a", "b", "c"])
    assert labels(found) == ["a", "c"]
    assert [(each.name.rpartition(": ")[2], each.cause) for each in found.skipped] == [
        ("x[1]", "no value (nan) in column 1")
    ]


def test_npz_names_of_classes(npz):
    names = ["ant", "bee", "cow"]
    assert npz(x=np.zeros((2, 2)), y=[0, 2], label_names=names).schema.labels == ("ant", "bee", "cow")
    with pytest.raises(DataError, match=r"set.npz: y\[1\]: label 3 is out of range: valid are 0 … 2"):
        npz(x=np.zeros((2, 2)), y=[0, 3], label_names=names)


PIXELS = np.zeros((3, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": PIXELS, "y": [0, -1, 1]}, r"y\[1\]: label -1 is out of range: valid are 0 … 1"),
        (
            {"x_train": PIXELS, "y_train": [0, 1, 1], "x_test": PIXELS, "y_test": [0, 1, 2]},
            r"y_test\[2\]: label 2 is out",
        ),
        ({"x": PIXELS, "y": [0, 1]}, "x has 3 rows, .*y 2"),
        ({"x": PIXELS, "y": [1, 1, 1]}, "one class only"),
        ({"x": PIXELS / 2, "y": [0, 1, 1]}, "3×2×2 float64"),
        ({"x": np.zeros((3, 3, 8, 8), np.uint8), "y": [0, 1, 1]}, "channels come last"),
        ({"x": [[1.0], [np.inf]], "y": [0, 1]}, r"x\[1, 0\] is inf"),
        ({"x": [[1.0], [2.0]], "y": [0.5, np.nan]}, r"y\[1\]: no value"),
        ({"x": np.array([[{}], [[]]], object), "y": [0, 1]}, "Python objects"),
        ({"a": [1]}, r"holds the arrays a: no inputs(.|\n)*name them x and y"),
        ({"x": 1.0, "y": 2.0}, "single value"),
    ],
)
def test_npz_errors(npz, arrays, said):
    with pytest.raises(DataError, match=said):
        npz(**arrays)


def test_npz_target_by_name(npz):
    found = npz(x=[[1], [2]], y=[1, 2], age=[0.5, 1.5], target=("age",))
    assert found.splits["train"].target(1).values == (1.5,)
    with pytest.raises(DataError, match="did you mean age"):
        npz(x=[[1], [2]], age=[1, 2], target=("agee",))


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The head of an .npy file, format 1.0."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("shape", [(2**40,), (2**20, 2**20), (2**62, 2**62), (-1, 2**40), (3, -2, -3)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_npz_claim_of_a_tebibyte_costs_nothing(table, shape, method):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("x.npy", header(shape) + b"x" * 100)
        archive.writestr("y.npy", header((2,)) + b"\0\1")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="claims"):
            table(packed.getvalue(), "set.npz")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", [b"", b"\x93NUMPY\x01\x00\x05\x00((((", b"\x93NUMPY\x09\x00", b"MZ" * 40])
def test_npz_with_a_damaged_header(table, head):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.npy", head)
        archive.writestr("y.npy", header((2,)) + b"\0\1")
    with pytest.raises(DataError, match=r"x isn't an .npy array"):
        table(packed.getvalue(), "set.npz")


def test_npz_with_a_damaged_body(table):
    packed = io.BytesIO()
    np.savez(packed, x=np.zeros((2, 300), np.uint8), y=np.array([0, 1]))
    data = bytearray(packed.getvalue())
    data[300] ^= 1
    with pytest.raises(DataError, match="damaged"):
        table(bytes(data), "set.npz")
    with pytest.raises(DataError, match="damaged"):
        table(packed.getvalue()[:200], "set.npz")


def test_single_array_is_refused(table):
    packed = io.BytesIO()
    np.save(packed, np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"single array(.|\n)*np.savez"):
        table(packed.getvalue(), "set.npy")


def test_few_whole_numbers_are_classes():
    assert [means_classes(*each) for each in ((20, 40), (21, 42), (20, 39), (1, 2))] == [True, False, False, True]


def test_recognises_by_ending_only_files(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    assert not TABLES.recognises(tmp_path / "folder.csv")
    assert not TABLES.recognises(tmp_path / "absent.csv")
    (tmp_path / "SET.CSV").write_text("x,label\n1,a\n2,b\n")
    assert TABLES.recognises(tmp_path / "SET.CSV")
