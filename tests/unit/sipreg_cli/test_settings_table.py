from __future__ import annotations

from sipreg.settings import Settings
from sipreg_cli.settings_table import settings_table, with_table
from support.processes import ROOT


class TestSettingsTable:
    def test_the_readme_shows_every_setting_as_it_is_today(self) -> None:
        text = (ROOT / "README.md").read_text("utf-8")
        assert with_table(text) == text, "run: PYTHONPATH=shared:services python -m sipreg_cli.settings_table"

    def test_every_setting_has_a_row_that_explains_it(self) -> None:
        rows = {row.split("|")[1].strip(" `"): row.split("|")[3].strip() for row in settings_table().splitlines()[2:]}
        names = {f"{section}.{name}" for section in Settings.model_fields for name in type(getattr(Settings(), section)).model_fields}
        assert set(rows) == names
        assert all(len(text) > 10 for text in rows.values())
