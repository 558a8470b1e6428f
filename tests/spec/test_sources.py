import pytest

from tuner.errors import InputError
from tuner.spec.sources import HubId, locate_model, resolve


def test_a_path_in_a_package_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "weights_pkg"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("pkg://weights_pkg/model") == (package / "model").resolve()
    assert resolve("pkg://weights_pkg") == package.resolve()
    with pytest.raises(InputError, match=r"has no 'modl' \(did you mean 'model'\?\)"):
        resolve("pkg://weights_pkg/modl")
    with pytest.raises(InputError, match="leads out of the package"):
        resolve("pkg://weights_pkg/../secret")


@pytest.mark.parametrize("source", ["pkg://", "pkg:///x", "pkg://a.b/x", "pkg://../x"])
def test_a_package_must_be_named(source):
    with pytest.raises(InputError, match="PACKAGE/PATH"):
        resolve(source)


def test_a_local_path_wins_over_a_hub_id(tmp_path):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert resolve("owner/name", tmp_path) == tmp_path / "owner" / "name"
    assert resolve("owner/name", tmp_path / "owner") == HubId("owner/name")
    assert resolve("owner/name@v1.0", tmp_path) == HubId("owner/name", "v1.0")
    assert str(HubId("owner/name", "v1.0")) == "owner/name@v1.0"


@pytest.mark.parametrize("source", ["./owner", "/no/where", "data.csv", "a/b/c", "~nobody-here/x", "a b"])
def test_what_can_only_be_a_path_must_exist(tmp_path, source):
    with pytest.raises(InputError, match="no such file or folder"):
        resolve(source, tmp_path)


def test_a_model_is_a_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="is a file; a model is a folder"):
        locate_model("model.safetensors", tmp_path)
    assert locate_model(".", tmp_path) == tmp_path.resolve()


def test_without_a_network_a_hub_model_is_one_clear_line(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError) as caught:
        locate_model("no-such-owner/no-such-model", tmp_path)
    assert str(caught.value).startswith("no-such-owner/no-such-model: no local folder of that name")
    assert "\n" not in str(caught.value)
