"""The threads that a container leaves, and the device."""

import torch

from compress.core import hardware


def test_the_quota_of_a_container_bounds_the_threads(tmp_path):
    membership = tmp_path / "cgroup"
    membership.write_text("0::/pod/box\n")
    (tmp_path / "pod" / "box").mkdir(parents=True)
    (tmp_path / "pod" / "box" / "cpu.max").write_text("max 100000\n")
    (tmp_path / "pod" / "cpu.max").write_text("150000 100000\n")
    assert hardware.cgroup_quotas(tmp_path, membership) == [1.5]


def test_the_older_control_groups_are_read_too(tmp_path):
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/box\n3:cpu,cpuacct:/box\n")
    (tmp_path / "cpu" / "box").mkdir(parents=True)
    (tmp_path / "cpu" / "box" / "cpu.cfs_quota_us").write_text("300000")
    (tmp_path / "cpu" / "box" / "cpu.cfs_period_us").write_text("100000")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    assert hardware.cgroup_quotas(tmp_path, membership) == [3.0]


def test_no_control_groups_no_quota(tmp_path):
    assert hardware.cgroup_quotas(tmp_path, tmp_path / "none") == []
    assert hardware.available_threads() >= 1


def test_a_quota_below_one_is_one_thread(monkeypatch):
    monkeypatch.setattr(hardware, "cgroup_quotas", lambda: [0.4])
    assert hardware.available_threads() == 1


def test_an_export_is_checked_with_the_threads_that_measure_it():
    from compress.export import session
    from recipes.measure import job

    assert session.available_threads is hardware.available_threads is job.available_threads


def test_the_device_is_the_one_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert str(hardware.default_device()) == "cuda"
    assert str(hardware.default_device("cpu")) == "cpu"
