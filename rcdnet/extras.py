"""How are the optional packages installed? From this checkout, as the project is on no package index."""


def install(extra: str = "") -> str:
    """The command for an extra of pyproject.toml, or for the base install. ``python -m``: a venv may have no pip.
    Double quotes: Windows' cmd knows no others."""
    return f'python -m pip install -e ".[{extra}]"' if extra else "python -m pip install -e ."
