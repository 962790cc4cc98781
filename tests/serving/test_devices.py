"""The library of devices and what they draw: figures against data sheets, names, invariants."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.serving import devices, hosts
from farthing.serving.device import Device

ALL = devices.everything()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("h100_sxm", "h100-sxm"),
        ("h200_sxm", "h200-sxm"),
        ("b200_sxm", "b200-sxm"),
        ("b300_sxm", "b300-sxm"),
        ("gb200", "gb200"),
        ("gb300", "gb300"),
        ("l40s", "l40s"),
        ("a100_sxm", "a100-80gb-sxm"),
        ("a100_pcie", "a100-80gb-pcie"),
        ("h100_pcie", "h100-pcie"),
        ("rtx_pro_6000_server", "rtx-pro-6000-server"),
        ("RTX4090", "rtx-4090"),
        ("RTXPRO6000", "rtx-pro-6000-server"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H200", "h200-sxm"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb-sxm"),
        ("NVIDIA A100-PCIE-40GB", "a100-40gb-pcie"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000-workstation"),
        ("Tesla T4", "t4"),
        ("AMD Instinct MI300X", "mi300x"),
        ("Apple M2 Ultra", "m2-ultra"),
    ],
)
def test_a_device_is_found_by_system_names_and_driver_names(name: str, wanted: str) -> None:
    assert devices.find(name).id == wanted


def test_every_name_of_every_device_finds_it() -> None:
    for device in ALL:
        for name in (device.id, device.title, *device.aliases, device.id.upper(), device.id.replace("-", "_")):
            assert devices.find(name) is device


def test_a_name_without_its_form_is_refused_with_the_forms() -> None:
    with pytest.raises(FarthingError, match="h100-sxm, h100-pcie, h100-nvl"):
        devices.find("H100")
    with pytest.raises(FarthingError, match="a100-80gb-sxm, a100-80gb-pcie"):
        devices.find("NVIDIA A100 80GB")
    for name, means in devices.ambiguous().items():
        assert len(means) > 1
        assert all(devices.find(one).id == one for one in means)
        with pytest.raises(FarthingError):
            devices.find(name)


def test_an_unknown_device_is_one_line_with_what_would_work() -> None:
    with pytest.raises(FarthingError, match=r"unknown device 'h1000' \(did you mean h100-sxm"):
        devices.find("h1000")
    with pytest.raises(FarthingError, match="did you mean rtx-4090"):
        devices.find("4090")
    with pytest.raises(FarthingError, match="known: a100-80gb-sxm"):
        devices.find("qqqq")
    for name in ("", "  ", "!", "\n"):
        with pytest.raises(FarthingError) as caught:
            devices.find(name)
        assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_finds_a_device_or_is_refused_in_one_line(name: str) -> None:
    try:
        assert devices.find(name) in ALL
    except FarthingError as error:
        assert len(str(error).splitlines()) == 1


# The data sheets state most rates with sparsity: half of it is dense.
@pytest.mark.parametrize(
    ("name", "number_format", "dense_tflops"),
    [
        ("h100-sxm", "bf16", 1979 / 2),
        ("h100-sxm", "fp8", 3958 / 2),
        ("h100-pcie", "bf16", 1513 / 2),
        ("h100-nvl", "bf16", 1671 / 2),
        ("h200-sxm", "fp8", 3958 / 2),
        ("a100-80gb-sxm", "bf16", 624 / 2),
        ("a100-80gb-pcie", "int8", 1248 / 2),
        ("b200-sxm", "bf16", 36_000 / 8 / 2),  # HGX B200: 36 PFLOPS sparse for eight
        ("b200-sxm", "fp4", 144_000 / 8 / 2),
        ("gb200", "bf16", 360_000 / 72 / 2),  # NVL72: 360 PFLOPS sparse
        ("gb200", "fp4", 1_440_000 / 72 / 2),
        ("gb300", "fp8", 720_000 / 72 / 2),
        ("gb300", "fp4", 1_080_000 / 72),  # stated dense
        ("l40s", "bf16", 362.05),
        ("l40s", "fp8", 1466 / 2),
        ("l4", "bf16", 242 / 2),
        ("a10g", "bf16", 140 / 2),
        ("rtx-4090", "bf16", 165.2),
        ("mi300x", "bf16", 1307.4),
    ],
)
def test_rates_are_dense(name: str, number_format: str, dense_tflops: float) -> None:
    assert devices.find(name).flops_of(number_format) == pytest.approx(dense_tflops * 1e12, rel=0.001)


def test_power_and_bandwidth_are_those_of_the_form_factor() -> None:
    watts = {d.id: d.tdp_w for d in ALL}
    assert (watts["a100-80gb-pcie"], watts["a100-80gb-sxm"]) == (300, 400)
    assert (watts["h100-pcie"], watts["h100-sxm"], watts["h200-nvl"]) == (350, 700, 600)
    assert (watts["a10"], watts["a10g"]) == (150, 300)
    assert devices.find("h100-sxm").bandwidth_bytes_s == 3.35e12
    assert devices.find("a100-80gb-pcie").bandwidth_bytes_s == 1.935e12
    assert devices.find("gb200").bandwidth_bytes_s == 576e12 / 72
    assert devices.find("h100-sxm").link_bytes_s == 900e9 / 2  # both directions together are 900 GB/s
    assert devices.find("gb200").link_devices == 72


def test_memory_is_what_the_driver_reports() -> None:
    assert devices.find("h100-sxm").memory_bytes == 81_559 * 2**20
    assert devices.find("b300").memory_bytes == 275_040 * 2**20  # not 288 GB
    assert devices.find("rtx-4090").memory_bytes == 24_564 * 2**20
    assert devices.find("mi300x").memory_bytes == 206_141_652_992  # 192 GiB less 16 MiB


@pytest.mark.parametrize("device", ALL, ids=lambda d: d.id)
def test_a_device_is_plausible(device: Device) -> None:
    assert device.memory_bytes > 8e9
    assert device.tdp_w > 0
    assert device.flops_of("fp8") >= device.flops["bf16"]  # absent: computes as bf16
    assert device.flops_of("fp4") >= device.flops_of("fp8") or "fp4" not in device.flops
    assert device.flops["bf16"] >= device.flops.get("fp32", 0.0)
    # Between a laptop-like CPU and the densest accelerator: operations per byte of memory traffic.
    assert 20 < device.flops["bf16"] / device.bandwidth_bytes_s < 800
    assert device.link_bytes_s <= device.bandwidth_bytes_s
    assert device.network_bytes_s <= max(device.link_bytes_s, 1.25e9)
    # Seconds to read the whole memory: 15 ms (GDDR) to two seconds (a server of DIMMs).
    assert 0.01 < device.memory_bytes / device.bandwidth_bytes_s < 2
    assert device.idle_w is None or 0 < device.idle_w < device.tdp_w / 4
    # Dense bf16 operations a joule at full power: 2018's T4 and V100 to 2026's racks; CPUs and Apple below.
    assert 0.03e12 < device.flops["bf16"] / device.tdp_w < 4e12
    assert 1 <= device.link_devices <= 9216


@pytest.mark.parametrize("device", ALL, ids=lambda d: d.id)
def test_every_figure_has_a_source(device: Device) -> None:
    for figure in devices.FIGURES:
        source = device.source_of(figure)
        assert source.title
        assert source.where
        assert source.seen is not None
    assert set(device.figures) <= set(devices.FIGURES)
    if device.form == "pod":
        assert device.source_of("tdp").grade < Grade.VENDOR_STATED  # Google publishes none


def test_ids_are_unique_and_forms_of_one_chip_differ() -> None:
    assert len(set(devices.names())) == len(ALL)
    for one, other in itertools.combinations(ALL, 2):
        assert devices.key(one.id) != devices.key(other.id)


def test_the_measured_draw_of_an_h100_is_met_and_held_outside() -> None:
    h100 = devices.find("h100-sxm")
    assert hosts.draw_w(h100, 1) == 445
    assert hosts.draw_w(h100, 256) == pytest.approx(577)
    assert hosts.draw_w(h100, 10_000) == pytest.approx(577)
    assert hosts.draw_w(h100, 16) == pytest.approx((445 + 577) / 2)  # half of log 256
    assert hosts.draw_w(h100, 0) == 70  # at rest, as listings of idle boards say
    assert hosts.draw_w(devices.find("a100_sxm"), 0) == pytest.approx(70 / 700 * 400)  # the same share
    assert hosts.draw_grade(h100) is Grade.MEASURED


def test_other_devices_draw_the_same_share_of_their_tdp() -> None:
    b200 = devices.find("b200")
    assert hosts.draw_w(b200, 256) == pytest.approx(577 / 700 * 1000)
    assert hosts.draw_grade(b200) is Grade.DERIVED
    assert hosts.draw_grade(devices.find("tpu-v5e")) is Grade.ASSUMED


@pytest.mark.slow
@settings(deadline=None)
@given(st.sampled_from(ALL), st.floats(0, 1e6), st.floats(0, 1e6))
def test_draw_rises_with_load_and_stays_below_tdp(device: Device, one: float, other: float) -> None:
    low, high = sorted((hosts.draw_w(device, one), hosts.draw_w(device, other)))
    assert 0 < low <= high < device.tdp_w
    if one < other:
        assert hosts.draw_w(device, one) <= hosts.draw_w(device, other)
    assert hosts.wall_w(device, one) >= hosts.draw_w(device, one)


def test_a_loaded_server_draws_its_factor_at_the_wall() -> None:
    # 1.3 x 8 x 700 W; with few sequences the boards draw 8 x (577 - 445) W less.
    h100 = devices.find("h100-sxm")
    assert hosts.wall_w(h100, 256, 8) == pytest.approx(1.3 * 8 * 700)
    assert hosts.wall_w(h100, 1, 8) == pytest.approx(1.3 * 8 * 700 - 8 * 132)
    mac = devices.find("m3-ultra")  # its power is the whole machine's
    assert hosts.wall_w(mac, 1) == hosts.draw_w(mac, 1)


def test_every_device_has_a_host_and_every_factor_its_bounds() -> None:
    for device in ALL:
        found = hosts.host(device)
        assert 1 <= found.low <= found.factor <= found.high < 2
    assert hosts.host(devices.find("tpu-v7")).factor == 1  # the pod's power, divided
    assert hosts.host(devices.find("tpu-v5e")).factor > 1
    for name, pue in hosts.pues().items():
        assert 1 <= pue.low <= pue.value <= pue.high < 2, name
    typical = hosts.pues()["typical"]
    assert (typical.low, typical.high) == (1.1, 1.5)
