"""The table of settings in the README, made from the settings themselves."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from pydantic_core import PydanticUndefined

from sipreg.settings import Section, Settings

BEGIN = "<!-- settings: made by `python -m sipreg_cli.settings_table` -->"
END = "<!-- end of settings -->"


def settings_table() -> str:
    """Return the table in Markdown, a row per setting."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, Section)):
            raise TypeError(f"section {section} is no Section")
        for name, setting in model.model_fields.items():
            default = "the host's name" if setting.default is PydanticUndefined else _shown(setting.default)
            rows.append(f"| `{section}.{name}` | {default} | {' '.join((setting.description or '').split())} |")
    return "\n".join(rows)


def _shown(default: object) -> str:
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if default is None or default in ("", ()):
        return ""
    return f"`{', '.join(map(str, default))}`" if isinstance(default, tuple) else f"`{default}`"


def with_table(text: str) -> str:
    """Return the README's text with the present table between its marks."""
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n{settings_table()}\n{END}{tail}"


if __name__ == "__main__":
    readme = Path("README.md")
    readme.write_text(with_table(readme.read_text("utf-8")), "utf-8")
