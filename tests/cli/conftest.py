import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A tuner home and database of one's own, and no colours."""
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNER_DB", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


@pytest.fixture
def tuner(home, capsys):
    """Run the command line in this process; return exit code, stdout and stderr."""
    from tuner.cli.main import main

    def call(*arguments):
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return call
