"""Bundles: written whole, checked before anything is used, installed or refused with the reason."""

import json
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from DynamicSegLib.bundle import read_bundle
from DynamicSegLib.bundles import _description, find_bundles, install_bundle, load_bundle
from DynamicSegLib.cleaning import Cleaning, SmallLabel
from DynamicSegLib.errors import BundleError
from DynamicSegLib.normalisation import Normalisation, NormalisationKind
from DynamicSegLib.weights import Storage, load_into, load_weights, save_weights
from Testing.tiny import describe_tiny_bundle, write_tiny_bundle


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))


def edited(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / "bundle.json"
    description = json.loads(path.read_text())
    edit(description)
    path.write_text(json.dumps(description))
    return folder


def zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"{folder.name}/{path.name}")
    return target


def test_a_bundle_comes_back_as_it_was_written(tmp_path: Path) -> None:
    described = describe_tiny_bundle()
    bundle = write_tiny_bundle(tmp_path)
    for name in ("name", "method", "input", "labels", "regions", "alpha", "curve", "facts"):
        assert getattr(bundle, name) == getattr(described, name), name
    assert bundle.bank.options == ("skip", "S", "L")
    assert bundle.card.startswith("# Tiny")


def test_recorded_costs_are_those_that_counting_gives(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    fresh = describe_tiny_bundle().bank.costs(bundle.input.size)
    assert bundle.bank.costs(bundle.input.size) == fresh
    assert bundle.bank.costs((80, 64))[1].macs == 4 * fresh[1].macs


def test_another_normalisation_survives_the_file(tmp_path: Path) -> None:
    window = Normalisation(NormalisationKind.WINDOW, -160.0, 240.0)
    bundle = write_tiny_bundle(tmp_path)
    edited(tmp_path / "tiny", lambda d: d["input"].update(normalisation={"kind": "window", "low": -160, "high": 240}))
    assert read_bundle(tmp_path / "tiny").input == replace(bundle.input, normalisation=window)


def test_cleaning_survives_the_file_and_may_be_absent_from_it(tmp_path: Path) -> None:
    cleaning = Cleaning(0.3, {4: SmallLabel(0.1, 1)})
    assert write_tiny_bundle(tmp_path).cleaning is None
    written = _description(replace(describe_tiny_bundle(), cleaning=cleaning))["cleaning"]
    edited(tmp_path / "tiny", lambda d: d.update(cleaning=json.loads(json.dumps(written))))
    assert read_bundle(tmp_path / "tiny").cleaning == cleaning
    edited(tmp_path / "tiny", lambda d: d.pop("cleaning"))
    assert read_bundle(tmp_path / "tiny").cleaning is None


DAMAGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda d: d.update(format=99), "format version 99 where this DynamicSeg reads 1"),
    (lambda d: d.pop("format"), "format version None"),
    (lambda d: d.pop("labels"), "incomplete or malformed.*labels"),
    (lambda d: d["input"].update(slice_axis="oblique"), "'oblique' is unknown"),
    (lambda d: d["input"]["normalisation"].update(kind="magic"), "malformed.*magic"),
    (lambda d: d.update(cleaning={"smallest_isle_ml": 1}), "bundle.json: cleaning: unknown key 'smallest_isle_ml'"),
    (
        lambda d: d.update(cleaning={"smallest_label_ml": {"3": {"millilitres": 1, "becomes": 1}}}),
        "bundle.json: smallest_label_ml of label 3: '3', where one of the labels 1, 2, 4 was expected",
    ),
    (lambda d: d["candidates"][0].update(weights="other.safetensors"), "without a checksum"),
    (lambda d: d["labels"][0].update(value=300), "label values .*300.* whole numbers from 1 to 255"),
    (lambda d: d["labels"][0].update(value=0), "label values .*0.* whole numbers from 1 to 255"),
    (lambda d: d["labels"][0].update(value=d["labels"][1]["value"]), "label values .* two are the same"),
    (lambda d: d["labels"][0].update(name=d["labels"][1]["name"]), "label names .* two are the same"),
    (lambda d: d["candidates"][0].update(name="skip"), "options .* two are the same"),
    (lambda d: d.update(candidates=[]), "no candidates"),
    (lambda d: d["input"].update(modalities=["t1", "t1", "t2", "flair"]), "modalities .* two are the same"),
    (lambda d: d["input"].update(size=[240]), "Input of .*size"),
    (lambda d: d["input"].update(spacing_mm=[float("nan"), 1.0]), "Input of .*nan"),
    (lambda d: d.update(files=["s.safetensors"]), "incomplete or malformed"),
    (lambda d: d["files"].update({"../../secret": "00"}), "not a plain file of the bundle"),
    (lambda d: d["files"].update({"absent.safetensors": "00"}), "absent.safetensors is missing"),
    (
        lambda d: d["files"].update({"s.safetensors": "00" * 32}),
        "s.safetensors has SHA-256 .* where bundle.json says 0000",
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_description_is_refused_with_the_reason(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], message: str
) -> None:
    write_tiny_bundle(tmp_path)
    with pytest.raises(BundleError, match=message):
        read_bundle(edited(tmp_path / "tiny", damage))


def test_one_flipped_byte_of_the_weights_is_noticed(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    path = tmp_path / "tiny" / "l.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"l\.safetensors has SHA-256 .*damaged or was changed"):
        load_bundle(tmp_path / "tiny")


def test_broken_json_is_named(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    (tmp_path / "tiny" / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        load_bundle(tmp_path / "tiny")


def test_a_network_outside_the_allow_list_is_refused_when_built(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    folder = edited(tmp_path / "tiny", lambda d: d["candidates"][0].update(network="os.system"))
    with pytest.raises(BundleError, match=r"os\.system"):
        read_bundle(folder).bank.candidates[0].build()


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    folder = edited(tmp_path / "tiny", lambda d: d["candidates"][0]["arguments"].update(base=6))
    with pytest.raises(BundleError, match=r"s\.safetensors does not fit its network: .*encoder"):
        read_bundle(folder).bank.candidates[0].build()


def test_an_unknown_name_lists_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_bundle(tmp_path / "mine")
    monkeypatch.setenv("DYNAMICSEG_BUNDLES", str(tmp_path / "mine"))
    assert find_bundles()["tiny"] == tmp_path / "mine" / "tiny"
    with pytest.raises(BundleError, match=r"no bundle 'nothing': expected one of tiny"):
        load_bundle("nothing")


def test_a_bundle_installs_from_a_zip_file(tmp_path: Path) -> None:
    written = write_tiny_bundle(tmp_path)
    installed = install_bundle(zipped(tmp_path / "tiny", tmp_path / "tiny.zip"))
    assert installed.checksum == written.checksum == load_bundle("tiny").checksum
    with pytest.raises(BundleError, match=r"installed already: pass --replace"):
        install_bundle(tmp_path / "tiny.zip")
    assert install_bundle(tmp_path / "tiny.zip", replace=True).checksum == written.checksum


def test_a_damaged_bundle_is_not_installed_and_leaves_nothing(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    (tmp_path / "tiny" / "l.safetensors").write_bytes(b"short")
    with pytest.raises(BundleError, match="SHA-256"):
        install_bundle(zipped(tmp_path / "tiny", tmp_path / "tiny.zip"))
    assert list((tmp_path / "home" / "bundles").iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", " ", "x" * 101, "ends.", 5, "nul\0"])
def test_a_name_that_is_no_plain_folder_name_is_not_installed_and_nothing_is_lost(tmp_path: Path, name: object) -> None:
    write_tiny_bundle(tmp_path)
    install_bundle(tmp_path / "tiny")
    edited(tmp_path / "tiny", lambda d: d.update(name=name))
    with pytest.raises(BundleError, match="expected a name of letters"):
        install_bundle(zipped(tmp_path / "tiny", tmp_path / "tiny.zip"), replace=True)
    assert [path.name for path in (tmp_path / "home" / "bundles").iterdir()] == ["tiny"]


def test_a_damaged_zip_file_is_named(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    archive = zipped(tmp_path / "tiny", tmp_path / "tiny.zip")
    content = bytearray(archive.read_bytes())
    content[200] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(BundleError, match=r"tiny\.zip cannot be unpacked \(.*download it again"):
        install_bundle(archive)
    with pytest.raises(BundleError, match=r"absent\.zip does not exist"):
        install_bundle(tmp_path / "absent.zip")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such rights")
def test_others_may_read_what_is_written_and_installed(tmp_path: Path) -> None:
    written = write_tiny_bundle(tmp_path)
    installed = install_bundle(tmp_path / "tiny")
    for bundle in (written, installed):
        assert bundle.folder is not None and bundle.folder.stat().st_mode & 0o055 == 0o055 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_something_else_is_not_installed(tmp_path: Path) -> None:
    path = tmp_path / "readme.txt"
    path.write_text("hello")
    with pytest.raises(BundleError, match="not a ZIP file"):
        install_bundle(path)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.write(path, "readme.txt")
    with pytest.raises(BundleError, match=r"holds 0 files bundle\.json"):
        install_bundle(tmp_path / "empty.zip")


@pytest.mark.parametrize(
    ("storage", "error"), [(Storage.FLOAT32, 0.0), (Storage.FLOAT16, 1e-3), (Storage.INT8, 1 / 254)]
)
def test_weights_come_back_within_the_storages_step(tmp_path: Path, storage: Storage, error: float) -> None:
    torch.manual_seed(0)
    state = {"w": torch.randn(32, 16, 3, 3) * torch.logspace(-3, 2, 32)[:, None, None, None], "b": torch.randn(32)}
    save_weights(tmp_path / "w.safetensors", state, storage)
    back = load_weights(tmp_path / "w.safetensors")
    assert back.keys() == state.keys() and all(tensor.dtype == torch.float32 for tensor in back.values())
    torch.testing.assert_close(back["b"], state["b"], rtol=0, atol=0)
    largest = state["w"].abs().amax(dim=(1, 2, 3), keepdim=True)
    assert float(((back["w"] - state["w"]).abs() / largest).max()) <= error * 1.001


def test_eight_bits_are_a_quarter_of_the_size(tmp_path: Path) -> None:
    state = {"w": torch.randn(256, 256, 3, 3)}
    sizes = []
    for storage in (Storage.FLOAT32, Storage.INT8):
        save_weights(tmp_path / "w.safetensors", state, storage)
        sizes.append((tmp_path / "w.safetensors").stat().st_size)
    assert sizes[1] < 0.26 * sizes[0]


def test_a_pickle_is_not_read_as_weights(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(BundleError, match="cannot be read as safetensors"):
        load_weights(tmp_path / "w.safetensors")


def test_loading_fills_every_tensor(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source, target = torch.nn.BatchNorm2d(5), torch.nn.BatchNorm2d(5)
    source(torch.randn(8, 5, 4, 4))
    save_weights(tmp_path / "w.safetensors", source.state_dict())
    load_into(target, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(target.running_mean.numpy(), source.running_mean.numpy())
    assert int(target.num_batches_tracked) == 1
