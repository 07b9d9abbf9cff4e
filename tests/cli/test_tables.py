"""The same measurements in tables as programs of all kinds write them are the same trajectories."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import systems
from hlieconv import cli

T = np.arange(12) / 8
FRAME = pd.DataFrame({"time": T, "body": "NA", "x": np.cos(T), "y": np.sin(T), "mass": 2.0})
PLAIN = FRAME.to_csv(index=False)


@pytest.fixture(scope="module")
def truth():
    return systems.from_dataframe(FRAME)


TABLES = {
    "as it should be": PLAIN,
    "Windows": "\ufeff" + PLAIN.replace("\n", "\r\n"),
    "old Macs": PLAIN.replace("\n", "\r"),
    "semicolons": PLAIN.replace(",", ";"),
    "decimal commas": FRAME.to_csv(index=False, sep=";", decimal=","),
    "tabs": PLAIN.replace(",", "\t"),
    "a space after each comma": PLAIN.replace(",", ", "),
    "columns of spaces": FRAME.to_string(index=False, float_format=lambda x: repr(float(x))),
    "the index of pandas": FRAME.to_csv(),
    "commas at the ends": PLAIN.replace("\n", ",\n"),
    "commas at the ends of rows": PLAIN.replace("\n", ",\n").replace("mass,", "mass"),
    "comments": "# by hand\n\n" + PLAIN,
    "numpy.savetxt": "# " + PLAIN,
    "quotes": FRAME.to_csv(index=False, quoting=2),
    "other order": FRAME[::-1].iloc[:, ::-1].to_csv(index=False),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_all_kinds_are_the_same(kind, truth, tmp_path):
    (tmp_path / "t.csv").write_bytes(TABLES[kind].encode())
    assert not cli.main(["import", str(tmp_path / "t.csv")])
    xr.testing.assert_identical(systems.open(tmp_path / "t.nc").load(), truth)


@pytest.mark.parametrize("separator", [",", ";"])
def test_times_may_be_dates(separator, truth, tmp_path):
    dates = [f"2024-03-31T01:59:{59 + s // 8:02d}.{s % 8 * 125:03d}+01:00" for s in range(8)]
    dates += [f"2024-03-31T01:00:00.{s * 125:03d}Z" for s in range(4)]
    FRAME.assign(time=dates).to_csv(tmp_path / "t.csv", sep=separator, index=False)
    assert not cli.main(["import", str(tmp_path / "t.csv")])
    found = systems.open(tmp_path / "t.nc")
    assert found.time.values.tolist() == T.tolist()
    assert found.time.origin.startswith("2024-03-31T00:59:59")
    np.testing.assert_array_equal(found.p, truth.p)


WRONG = {
    "a field too many in every row": (PLAIN.replace("\n", "\n0,").removesuffix("0,"), "more fields than the header"),
    "a field too many": (PLAIN.replace("2.0\n", "2.0,7\n", 1), "more fields than the header"),
    "thousands": (PLAIN.replace("\n1.", '\n"1,001.'), "table|time"),
    "dates of one country": (
        FRAME.assign(time="01/02/2024").to_csv(),
        "time: expected numbers, or dates .*'01/02/2024'",
    ),
    "dates and numbers": (
        FRAME.assign(time=["2024-02-01", *FRAME.time[1:]]).to_csv(),
        "time: expected numbers, or dates, got both",
    ),
    "a header twice": (PLAIN + PLAIN, "time: expected numbers, .* got 'time'"),
    "no rows": (PLAIN.partition("\n")[0], "frame: expected rows, got none"),
    "units in the header": (PLAIN.replace("x,", "x [m],", 1), "frame: expected the columns x, got"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_table_that_means_nothing_is_refused(kind, tmp_path, capsys):
    text, message = WRONG[kind]
    (tmp_path / "t.csv").write_text(text)
    assert cli.main(["import", str(tmp_path / "t.csv")]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "t.nc").exists()


def test_a_table_in_another_encoding_is_told(tmp_path, capsys):
    (tmp_path / "t.csv").write_bytes(PLAIN.replace("NA", "Körper").encode("latin-1"))
    assert cli.main(["import", str(tmp_path / "t.csv")]) == 2
    assert "expected a CSV file in UTF-8" in capsys.readouterr().err


def test_positions_alone(tmp_path, capsys):
    """A mass for all stands in for the missing one; without it, or over the file that is read, a refusal."""
    table = tmp_path / "tracks.csv"
    FRAME.drop(columns="mass").to_csv(table, index=False)
    assert cli.main(["import", str(table), "--mass", "2"]) == 0
    with systems.open(tmp_path / "tracks.nc") as found:
        xr.testing.assert_equal(found.p, systems.from_dataframe(FRAME).p)
    for words, line in [
        (["import", table], "(--mass 1)"),
        (["import", tmp_path / "tracks.nc", "--overwrite"], "another file"),
        (["info", table], "the command import makes such a file of it"),
    ]:
        assert cli.main([*map(str, words)]) == 2
        assert line in capsys.readouterr().err
