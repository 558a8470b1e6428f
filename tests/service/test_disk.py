"""The cache's size is that of its files, whatever the database says."""

from tuner.service.disk import disk_use


def test_a_cache_is_summed_up_by_kind(tmp_path):
    for kind, key, size in (("build", "a", 3000), ("build", "b", 500), ("shape", "c", 70), ("locks", "x", 9)):
        folder = tmp_path / "cache" / kind / key / "deep"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(size))
    (tmp_path / "cache" / "build" / "a" / "link").symlink_to("/etc")
    found = disk_use(tmp_path)
    assert [(h.kind, h.entries) for h in found.kinds] == [("build", 2), ("shape", 1)]
    assert 3570 <= found.size_bytes < 3700 and found.of("build").size_bytes >= 3500  # and the link's own name
    assert 0 < found.free_bytes <= found.total_bytes


def test_there_need_not_be_a_cache(tmp_path):
    found = disk_use(tmp_path / "none" / "yet")
    assert found.size_bytes == 0 and found.free_bytes > 0 and found.of("build").entries == 0
