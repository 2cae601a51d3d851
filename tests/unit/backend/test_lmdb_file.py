from pathlib import Path

import pytest

from kvstore.backend.lmdb_backend import LmdbBackend
from kvstore.backend.lmdb_file import DATA_FILE, read_metas
from kvstore.base.limits import GIB


@pytest.mark.parametrize("page_bytes", [4096, 16384])
def test_the_second_meta_page_is_found_at_the_page_size_that_the_file_names(
    tmp_path: Path, page_bytes: int
) -> None:
    """Another machine's pages may be larger; its file is read all the same."""
    LmdbBackend(tmp_path, quota_bytes=GIB).close()
    with (tmp_path / DATA_FILE).open("rb") as file:
        metas = [bytearray(file.read(4096)) for _ in range(2)]
    for meta in metas:
        meta[40:44] = page_bytes.to_bytes(4, "little")
    other = tmp_path / "other"
    other.write_bytes(b"".join(bytes(meta).ljust(page_bytes, b"\0") for meta in metas))
    assert [meta.page_bytes for meta in read_metas(other)] == [page_bytes, page_bytes]
