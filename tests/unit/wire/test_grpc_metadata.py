import pytest

from kvstore.wire.grpc.metadata import BadMetadata, metadata_of, percent_encoded, timeout_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("4m", 0.004), ("5u", 5e-6), ("6n", 6e-9), ("0S", 0)],
)
def test_a_timeout_is_digits_and_a_unit(text: str, seconds: float) -> None:
    assert timeout_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", "٣S"])
def test_other_timeouts_are_refused_in_grpc_go_s_words(text: str) -> None:
    with pytest.raises(BadMetadata, match="malformed grpc-timeout"):
        timeout_s(text)


def test_metadata_leaves_out_what_is_gRPC_s_own() -> None:  # noqa: N802
    headers = {
        "content-type": "application/grpc",
        "te": "trailers",
        "token": "t",
        "hasleader": "true",
    }
    assert metadata_of(headers) == {"token": "t", "hasleader": "true"}


@pytest.mark.parametrize(
    ("text", "value"), [("AAEC/w==", "\0\1\2\xff"), ("AAEC/w", "\0\1\2\xff"), ("YQ,Yg==", "a,b")]
)
def test_binary_metadata_is_decoded_padded_or_not(text: str, value: str) -> None:
    assert metadata_of({"x-bin": text}) == {"x-bin": value}


def test_binary_metadata_that_is_no_base64_is_refused() -> None:
    with pytest.raises(BadMetadata, match='in header "x-bin"'):
        metadata_of({"x-bin": "!!"})


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("plain text", b"plain text"),
        ("100%", b"100%25"),
        ("a\nb", b"a%0Ab"),
        ("ключ", "".join(f"%{b:02X}" for b in "ключ".encode()).encode()),
        ("", b""),
    ],
)
def test_status_texts_are_percent_encoded(text: str, encoded: bytes) -> None:
    assert percent_encoded(text) == encoded
