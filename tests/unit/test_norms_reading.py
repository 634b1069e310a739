"""From a file to a grid of cells: separators, formats told by their first bytes, and how much work it takes."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from emospace.errors import EmospaceError
from emospace.norms import load_norms
from emospace.norms.delimited import find_separator
from emospace.norms.grids import read_grids

RECORDS = [{"word": "joy", "valence": 8.5, "note": None}, {"word": "null", "valence": 4}]
CELLS = [["word", "valence", "note"], ["joy", "8.5", ""], ["null", "4", ""]]


def planted(folder: Path, content: str | bytes, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cells(path: Path) -> list[list[str]]:
    return next(iter(read_grids(path))).rows


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("joy\t2.0\t[2, 2, 1]\nwar\t-2.9\t[-2, -1, -4]\n", "\t"),
        ("joy;2.0;[2, 2, 1]\nwar;-2.9;[-2, -1, -4]\n", ";"),
        ("joy\t1,5\t2,5\nsea\t1,5\t2,5\n", "\t"),
        ("joy;1,5 (0,3);2,5 (0,3)\nsea;1,5 (0,3);2,5 (0,4)\n", ";"),
        ("joy,1.5,2.5,a;b\nsea,1.5,2.5,c;d\n", ","),
        ("word,v,a\t\njoy,1.5,2.5\t\nsea,1.5,2.5\t\n", ","),
        ("A title, with commas, and more, of them\nword;v\njoy;1\nsea;2\nsun;3\n", ";"),
        ("joy\nsea\n", ""),
        ("one line, one comma", ","),
    ],
)
def test_the_separator_is_the_one_that_gives_a_constant_number_of_cells(text, separator):
    assert find_separator(text) == separator


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.json", json.dumps(RECORDS)),
        ("r.csv", json.dumps(RECORDS, indent=2)),
        ("r.json", json.dumps({"data": RECORDS, "licence": "CC0"})),
        ("r.json", json.dumps({"word": ["joy", "null"], "valence": [8.5, 4], "note": [None]})),
        ("r.json", pd.DataFrame(RECORDS).astype(object).to_json()),
        ("r.json", json.dumps(CELLS)),
        ("r.jsonl", "\n".join(map(json.dumps, RECORDS))),
        ("r.txt", "\n".join(map(json.dumps, RECORDS))),
        ("r.csv.gz", gzip.compress(b"word,valence,note\njoy,8.5,\nnull,4,\n", mtime=0)),
        ("r.json.gz", gzip.compress(json.dumps(RECORDS).encode(), mtime=0)),
    ],
)
def test_json_and_gzip_are_read_by_their_content(tmp_path, name, content):
    assert [
        ["4" if c == "4.0" else c for c in row] for row in cells(planted(tmp_path, content, name))
    ] == CELLS


def test_json_by_word_and_json_that_is_no_table(tmp_path):
    by_word = {"joy": {"valence": 8.5}, "sea": {"valence": 7}}
    assert cells(planted(tmp_path, json.dumps(by_word)))[1:] == [["joy", "8.5"], ["sea", "7"]]
    assert cells(planted(tmp_path, json.dumps({"joy": 8.5})))[1:] == [["joy", "8.5"]]
    for content, message in {"[1, 2]": "JSON is no table", '[{"word": "joy"': "no whole JSON file"}.items():
        with pytest.raises(EmospaceError, match=message):
            cells(planted(tmp_path, content, "r.json"))
    with pytest.raises(EmospaceError, match="no whole JSON file"):
        cells(planted(tmp_path, json.dumps(RECORDS)[:-1], "cut_off.csv"))
    assert cells(planted(tmp_path, "[joy],8\n[sea],7\n")) == [["[joy]", "8"], ["[sea]", "7"]]


def test_stata_and_feather_are_read(tmp_path):
    frame = pd.DataFrame({"word": ["joy", "sea"], "valence": [8.5, 7.0]})
    frame.to_stata(tmp_path / "r.dta", write_index=False)
    frame.to_stata(tmp_path / "old.dta", write_index=False, version=114)
    frame.to_feather(tmp_path / "r.feather")
    for name in ("r.dta", "old.dta", "r.feather"):
        assert cells(tmp_path / name) == [["word", "valence"], ["joy", "8.5"], ["sea", "7.0"]]


@pytest.mark.parametrize(("name", "library"), [("r.sav", "pyreadstat"), ("r.ods", "odf")])
def test_spss_and_opendocument_are_read_by_a_library_or_name_it(tmp_path, monkeypatch, name, library):
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    path = planted(tmp_path, b"$FL2@(#)" if name == "r.sav" else inside.getvalue(), name)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, library, None)
        with pytest.raises(EmospaceError, match=r"is not installed\. .*pip install 'emospace\[files\]'"):
            cells(path)
    frame = pd.DataFrame({"word": ["joy", "sea"], "valence": [8.5, 7.25]})
    if name == "r.sav":
        pytest.importorskip(library).write_sav(frame, path)
    else:
        pytest.importorskip(library)
        frame.to_excel(path, index=False)
    assert cells(path) == [["word", "valence"], ["joy", "8.5"], ["sea", "7.25"]]


def zipped(*names: str) -> bytes:
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return inside.getvalue()


@pytest.mark.parametrize(
    ("content", "why", "hint"),
    [
        (b"%PDF-1.7 ...", "a PDF", "CSV"),
        (b"  <!DOCTYPE html><html><body>Sign in</body></html>", "a web page", "Download the file itself"),
        (b"<?xml version='1.0'?><Workbook/>", "XML", "xlsx"),
        (gzip.compress(b"X\n\x00\x00\x00\x03", mtime=0), "a file of R", "write.csv"),
        (b"SQLite format 3\x00", "SQLite", "Export"),
        (b"7z\xbc\xaf\x27\x1c", "archive", "Unpack"),
        (zipped("norms/ratings.csv", "readme.txt"), r"zip archive \(norms/ratings.csv", "Unpack"),
        (zipped("word/document.xml"), "a text document", "CSV"),
        (b"PK\x03\x04 cut off", "no whole workbook", "Fetch it again"),
        (b"\x1f\x8b cut off", "no whole gzip file", "Fetch it again"),
        (b"\x01\x02\x03\x04\x05\x06" * 50, "neither text nor a table", "CSV"),
    ],
)
def test_what_is_no_table_is_refused_at_once_by_its_content(tmp_path, content, why, hint):
    with pytest.raises(EmospaceError, match=why) as refused:
        load_norms(planted(tmp_path, content))
    assert hint in refused.value.hint


def test_formulas_saved_without_their_values_are_counted(tmp_path):
    book = openpyxl.Workbook()
    for row in (["word", "valence", "arousal"], ["joy", "=4+4", 6], ["sea", "=3+4", 2]):
        book.active.append(row)
    book.save(tmp_path / "r.xlsx")
    (grid,) = read_grids(tmp_path / "r.xlsx")
    assert grid.formulas == 2 and [row[1] for row in grid.rows] == ["valence", "", ""]


@pytest.mark.parametrize("kind", ["columns", "rows", "one long header"])
def test_work_grows_no_faster_than_the_file(tmp_path, kind):
    """The lines of our own code that run at twice the size are at most about twice as many."""

    def work(n: int) -> int:
        rows = {
            "columns": [["word", *(f"valence {i}" for i in range(n))], ["x"] * n],
            "rows": [["word", "frequency"], *([f"w{i}", "1"] for i in range(n))],
            "one long header": [["word", "ab" * n], ["joy", "1"]],
        }[kind]
        path = planted(tmp_path, "\n".join(",".join(row) for row in rows))
        count = 0

        def traced(frame, event, arg):
            nonlocal count
            count += event == "line"
            return traced if "emospace" in frame.f_code.co_filename else None

        sys.settrace(traced)
        try:
            load_norms(path, language="en", scale=(1, 9))
        except EmospaceError:
            pass
        finally:
            sys.settrace(None)
        return count

    work(10)
    assert work(600) < 2.5 * work(300)
