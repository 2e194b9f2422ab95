"""The model page on what other recipes reached."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from tests.fake_report import write_report


def _script(folder: str) -> None:
    from pathlib import Path

    from dashboard.app_pages import recipes
    from dashboard.reports import open_report

    recipes.render(open_report(Path(folder)))


def test_recipes_stand_beside_one_another_with_their_target(tmp_path: Path) -> None:
    folder = write_report(tmp_path)
    app = AppTest.from_function(_script, args=(str(folder),), default_timeout=60).run()
    assert not app.exception
    (table,) = (element.value for element in app.dataframe)
    assert list(table.columns) == ["recipe", "target", "src", "accuracy", "summary"]
    assert table.set_index("recipe").loc["reach", ["target", "src"]].tolist() == [
        "popularity score",
        "0.200 [0.150, 0.250]",
    ]
    (folder / "recipes.parquet").unlink()
    assert not AppTest.from_function(_script, args=(str(folder),), default_timeout=60).run().dataframe
