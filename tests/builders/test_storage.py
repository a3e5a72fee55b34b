"""Files and folders that are put in place whole, and removed without touching anything else."""

from __future__ import annotations

from pathlib import Path

from builders.storage import remove_tree


def test_removing_a_tree_leaves_alone_what_its_links_lead_to(tmp_path: Path) -> None:
    kept, tree = tmp_path / "kept", tmp_path / "tree"
    (kept / "inside").mkdir(parents=True)
    kept.chmod(0o555)
    tree.mkdir()
    (tree / "link").symlink_to(kept)
    remove_tree(tree)
    assert not tree.exists()
    assert (kept / "inside").is_dir()
    assert kept.stat().st_mode & 0o777 == 0o555
    (tmp_path / "whole").symlink_to(kept)
    remove_tree(tmp_path / "whole")
    assert kept.stat().st_mode & 0o777 == 0o555
    kept.chmod(0o755)
