from tests.cluster.schema import FILE, distil


def test_what_the_emulator_knows_of_fields_is_what_this_server_says(api):
    """Of another minor version it may differ: then say so, distil anew, and look at what the difference is."""
    assert distil(api) == FILE.read_text()
