"""The first page is short, and says what has to be known before a first deployment."""

from handler.settings import DEFAULT_CATALOG_URL
from tests import processes
from tests.docs.pages import DOCS, README, ROOT, section

LINES = 140


def test_the_readme_is_read_in_a_minute() -> None:
    assert len(README.read_text().splitlines()) <= LINES


def test_the_default_catalog_and_what_it_lacks_are_on_the_first_page() -> None:
    note = section(README, "## Before you deploy: the catalog")
    assert DEFAULT_CATALOG_URL in note
    assert "404" in note
    # AND where the setting is described
    assert f"`{DEFAULT_CATALOG_URL}`" in (DOCS / "settings.md").read_text()


def test_no_file_names_a_package_index() -> None:
    tracked = processes.run(["git", "ls-files"], cwd=ROOT, check=True).stdout
    hosts = ("pypi" + ".org", "python" + "hosted", "npm" + "js.org", "deb.debian" + ".org")
    for name in tracked.splitlines():
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        assert not [host for host in hosts if host.encode() in content], name
