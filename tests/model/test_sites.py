"""The table of families, and the self-test that guards it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from avalattice.canon import CONST, GainTarget
from avalattice.errors import ExitCode, ModelError, SiteCheckError
from avalattice.model.check import SiteCheck, SiteReport, check_sites
from avalattice.model.sites import (
    FAMILIES,
    decoder,
    decoder_layers,
    family_name,
    mlp_sites,
    outline,
    select_sites,
)
from tests.model.families import (
    D_FF,
    FOUR_TIMES_HIDDEN,
    HIDDEN,
    N_LAYERS,
    OPTIONS,
    tiny_config,
    tiny_model,
)

TARGETS = list(GainTarget)
NORM_AFTER_MLP = ["gemma2", "gemma3_text", "olmo2", "olmo3", "exaone4", "glm4"]


def check_with(model: nn.Module, target: GainTarget = GainTarget.MLP, **paths: str) -> SiteReport:
    family = replace(FAMILIES[family_name(model.config)], **paths)
    return check_sites(model, target=target, sites=mlp_sites(model, family=family))


def failed(report: SiteReport) -> set[SiteCheck]:
    return {row.check for row in report.failures}


def failed_everywhere(report: SiteReport, check: SiteCheck) -> bool:
    return not any(row.passed for row in report.rows if row.check is check)


def test_every_family_has_a_tiny_model():
    """The tests build a model of each family in the table and of no other."""
    assert set(OPTIONS) == set(FAMILIES)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_passes_the_self_test(name, target):
    """Every family in the table passes the self-test, for MLP and attention."""
    report = check_sites(tiny_model(name), target=target)
    report.raise_if_failed()
    assert report.ok
    assert (report.family, report.target) == (name, target)
    per_layer = [check for check in SiteCheck if check is not SiteCheck.UNIT_GAIN]
    assert sorted((row.layer, row.check) for row in report.rows[:-1]) == sorted(
        (layer, check) for layer in range(N_LAYERS) for check in per_layer
    )
    assert (report.rows[-1].layer, report.rows[-1].check) == (None, SiteCheck.UNIT_GAIN)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt_neox", {"use_parallel_residual": False}),
        ("stablelm", {"use_parallel_residual": True}),
        ("falcon", {"parallel_attn": False}),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
        ("falcon", {"alibi": True}),
        ("gpt_bigcode", {"multi_query": False}),
        ("phi", {"qk_layernorm": True}),
        ("gemma2", {"attn_implementation": "eager"}),
    ],
)
@pytest.mark.parametrize("target", TARGETS)
def test_variants_within_a_family_pass(name, changes, target):
    """Sequential and parallel residuals of one family have the same sites."""
    check_sites(tiny_model(name, **changes), target=target).raise_if_failed()


@pytest.mark.parametrize("name", NORM_AFTER_MLP)
def test_gain_before_a_norm_fails(name):
    """Where a norm follows the MLP, a gain on the MLP bends the line and is caught."""
    report = check_with(tiny_model(name), gain="mlp")
    assert failed(report) == {SiteCheck.LINEAR}
    assert failed_everywhere(report, SiteCheck.LINEAR)
    # the error is half the contribution, not a near miss
    assert all(row.error > 1e3 * row.tolerance for row in report.failures)


@pytest.mark.parametrize("name", NORM_AFTER_MLP)
def test_attention_gain_before_a_norm_fails(name):
    """Where a norm follows attention, a gain on attention is caught likewise."""
    report = check_with(tiny_model(name), GainTarget.ATTN, attn_gain="self_attn")
    assert failed_everywhere(report, SiteCheck.LINEAR)


@pytest.mark.parametrize(
    ("name", "target", "paths"),
    [
        ("bloom", GainTarget.MLP, {"gain": "mlp"}),
        ("mpt", GainTarget.MLP, {"gain": "ffn"}),
        ("bloom", GainTarget.ATTN, {"attn_gain": "self_attention"}),
    ],
)
def test_gain_on_the_residual_fails(name, target, paths):
    """Where a sublayer returns residual + contribution, a gain on it removes both at zero."""
    assert failed_everywhere(check_with(tiny_model(name), target, **paths), SiteCheck.ZERO_GAIN)


@pytest.mark.parametrize("name", ["gemma2", "glm4"])
def test_llamas_attention_norm_is_no_gain_site_elsewhere(name):
    """The same module name means another place in another family."""
    other = {"gemma2": "pre_feedforward_layernorm", "glm4": "post_attention_layernorm"}[name]
    assert not check_with(tiny_model(name), gain=other).ok


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llama", "mlp.up_proj"),
        ("llama", "mlp.gate_proj"),
        ("gemma2", "mlp.up_proj"),
        ("phi3", "mlp.gate_up_proj"),
        ("gpt2", "mlp.c_fc"),
        ("opt", "fc1"),
        ("mpt", "ffn.up_proj"),
    ],
)
def test_capture_at_another_map_fails(name, path):
    """A wrong capture site reproduces its own output, but not the MLP's contribution."""
    report = check_with(tiny_model(name), down=path)
    assert SiteCheck.LAST_MAP in failed(report)
    assert SiteCheck.CAPTURE not in failed(report)


def test_a_constant_after_the_last_map_fails():
    """A gain must not scale a constant that is not the MLP's: a biased norm after it fails (i)."""
    model = tiny_model("gpt2")
    for layer in decoder_layers(model):
        layer.mlp = nn.Sequential(layer.mlp, nn.LayerNorm(HIDDEN))
        nn.init.constant_(layer.mlp[1].bias, 0.3)
    family = replace(FAMILIES["gpt2"], down="mlp.0.c_proj")
    report = check_sites(model, sites=mlp_sites(model, family=family))
    assert failed_everywhere(report, SiteCheck.ZERO_GAIN)


@pytest.mark.parametrize("target", TARGETS)
def test_normalised_residual_stream_is_refused(target):
    """OPT-350m normalises the residual stream after each sublayer: not linear in g, so refused."""
    report = check_sites(tiny_model("opt", do_layer_norm_before=False), target=target)
    assert failed_everywhere(report, SiteCheck.LINEAR)


def test_uncalled_down_projection_is_refused():
    """BLOOM's sliced arithmetic passes the down-projection by, and the self-test says so."""
    model = tiny_model("bloom", pretraining_tp=2, slow_but_exact=True)
    assert failed_everywhere(check_sites(model), SiteCheck.CAPTURE)


def test_silent_mlp_is_refused():
    """A layer whose MLP contributes nothing cannot be tested, and does not pass."""
    model = tiny_model("llama")
    with torch.no_grad():
        mlp_sites(model)[1].down.weight.zero_()
    report = check_sites(model)
    assert {row.layer for row in report.failures} == {1}
    assert failed(report) >= {SiteCheck.RESOLVED}


def test_nan_is_a_failure():
    """NaN weights fail every check they reach; nothing compares as passed."""
    model = tiny_model("llama")
    with torch.no_grad():
        mlp_sites(model)[-1].down.weight[0, 0] = float("nan")
    report = check_sites(model)
    assert failed(report) == set(SiteCheck)
    assert {row.layer for row in report.failures} == {N_LAYERS - 1, None}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "gemma2", "falcon", "opt", "gptj"])
def test_reduced_precision_keeps_the_power_of_the_test(name, dtype):
    """In reduced precision a right site passes and a wrong one fails, with the model untouched."""
    model = tiny_model(name).to(dtype)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for target in TARGETS:
        check_sites(model, target=target).raise_if_failed()
    if name == "gemma2":
        assert failed_everywhere(check_with(model, gain="mlp"), SiteCheck.LINEAR)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert {value.dtype for value in model.parameters()} == {dtype}


def test_double_precision_is_tested_in_double():
    """A float64 model is tested with the rounding of float64."""
    report = check_sites(tiny_model("llama").double())
    report.raise_if_failed()
    tolerance = next(row.tolerance for row in report.rows if row.check is SiteCheck.ZERO_GAIN)
    assert 0 < tolerance < 1e-12


def test_failure_names_family_layer_check_and_numbers():
    """The refusal names the family, the layer, the check, the error and the tolerance."""
    report = check_with(tiny_model("gemma2"), gain="mlp")
    first = report.failures[0]
    with pytest.raises(SiteCheckError) as refusal:
        report.raise_if_failed()
    for part in ("'gemma2'", "MLP", f"layer {first.layer}", first.check, f"{first.error:.3g}"):
        assert part in str(refusal.value)
    assert f"{first.tolerance:.3g}" in str(refusal.value)
    assert refusal.value.exit_code == ExitCode.INPUT


def test_self_test_repeats_and_leaves_no_hooks():
    """The same seed gives the same report, and the model has no more hooks than before."""
    model = tiny_model("llama")
    assert check_sites(model, seed=3) == check_sites(model, seed=3)
    assert check_sites(model, seed=3) != check_sites(model, seed=4)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_self_test_wants_evaluation_mode():
    """A model in training mode is refused: dropout would make it random."""
    with pytest.raises(ModelError, match="training mode"):
        check_sites(tiny_model("llama").train())


def test_captured_input_tolerance_is_canonical():
    """(iv) is held to the registry's tolerance."""
    rows = check_sites(tiny_model("gpt2")).rows
    tolerances = {row.tolerance for row in rows if row.check is SiteCheck.CAPTURE}
    assert tolerances == {CONST.U_HOOK_MATCH_TOL_ABS}


@pytest.mark.parametrize("name", FAMILIES)
def test_outline_needs_no_weights(name):
    """Widths and size read on the meta device equal those of the model itself."""
    described, model = outline(tiny_config(name)), tiny_model(name)
    width = 4 * HIDDEN if name in FOUR_TIMES_HIDDEN else D_FF
    assert described.family == name
    assert described.d_ff == (width,) * N_LAYERS
    assert described.n_layers == N_LAYERS
    assert described.n_params == sum(weight.numel() for weight in model.parameters())
    assert tuple(site.d_ff for site in mlp_sites(model)) == described.d_ff


def test_sites_are_those_of_the_layers():
    """Each site's modules are its own layer's, under the paths that it names."""
    model = tiny_model("glm4")
    layers = decoder_layers(model)
    for site in mlp_sites(model):
        assert site.down is layers[site.layer].mlp.down_proj
        assert site.gain is layers[site.layer].get_submodule(site.gain_path)
        assert site.attn_gain is layers[site.layer].get_submodule(site.attn_gain_path)
        assert site.attn_out is layers[site.layer].get_submodule(site.attn_out_path)
    assert decoder(model) is model.model
    assert len(layers) == N_LAYERS


def test_gemma3_with_vision_counts_as_its_text_model():
    """The multimodal Gemma 3 has the sites of its language model."""
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = OPTIONS["gemma3_text"]
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision)
    assert outline(config).family == "gemma3_text"
    assert outline(config).d_ff == (D_FF,) * N_LAYERS


TINY_MIXTURE = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 16,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


@pytest.mark.parametrize(
    "name", ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss", "phimoe", "granitemoe"]
)
def test_mixtures_are_refused_by_name(name):
    """A mixture of experts is refused with its family's name and the reason."""
    config = AutoConfig.for_model(name, **TINY_MIXTURE)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    for refuse in (lambda: mlp_sites(model), lambda: outline(config)):
        with pytest.raises(ModelError, match=f"'{name}' is a mixture of .* experts"):
            refuse()


def test_mixture_with_nested_configuration_is_refused():
    """DBRX counts its experts in a configuration of its own."""
    with pytest.raises(ModelError, match="'dbrx' is a mixture of 4 experts"):
        family_name(AutoConfig.for_model("dbrx", ffn_config={"moe_num_experts": 4}))


@pytest.mark.parametrize("name", ["mamba", "t5", "bert", "persimmon"])
def test_unknown_families_are_refused_by_name(name):
    """A family that is not in the table is refused, and the message lists those that are."""
    with pytest.raises(ModelError, match=rf"'{name}' is not supported.*bloom.*xglm"):
        family_name(AutoConfig.for_model(name))


def test_missing_module_names_layer_and_path():
    """A layer that lacks a module is refused with its index and the path."""
    model = tiny_model("llama")
    del decoder_layers(model)[1].mlp.down_proj
    with pytest.raises(ModelError, match=r"'llama': decoder layer 1 has no module 'mlp.down_proj'"):
        mlp_sites(model)


def test_down_projection_must_be_linear():
    """A down-projection of unknown kind is refused: its input width is not known."""
    model = tiny_model("llama")
    decoder_layers(model)[2].mlp.down_proj = nn.Identity()
    with pytest.raises(ModelError, match=r"layer 2: 'mlp.down_proj' is a Identity"):
        mlp_sites(model)


def test_missing_layer_list_is_refused():
    """A decoder without the table's list of layers is refused."""
    with pytest.raises(ModelError, match="no list of layers 'h'"):
        mlp_sites(tiny_model("llama"), family=FAMILIES["gpt2"])


def test_other_modules_are_refused():
    """What is no Hugging Face model is refused in words."""
    with pytest.raises(ModelError, match="Linear has no configuration"):
        mlp_sites(nn.Linear(2, 2))
    with pytest.raises(ModelError, match="Linear is not a Hugging Face model"):
        decoder(nn.Linear(2, 2))


def test_selected_layers_are_checked():
    """Layers come in order of depth, once each; strangers and empty choices are refused."""
    sites = mlp_sites(tiny_model("llama"))
    assert [site.layer for site in select_sites(sites, [2, 0, 2])] == [0, 2]
    assert select_sites(sites, None) == sites
    for layers in ([], [-1], [0, N_LAYERS]):
        with pytest.raises(ModelError, match=f"layers 0 to {N_LAYERS - 1}"):
            select_sites(sites, layers)


def test_self_test_is_cheap():
    """A layer runs nine times, six of them alone: the cost does not grow with depth squared."""
    model, calls = tiny_model("llama", num_hidden_layers=12), []
    for layer in decoder_layers(model):
        layer.register_forward_hook(lambda *_: calls.append(1))
    check_sites(model).raise_if_failed()
    assert len(calls) == 9 * 12


@pytest.mark.parametrize(("family", "attention"), [("llama", "sdpa"), ("mpt", "eager")])
def test_the_outline_knows_which_attention_a_family_supports(family, attention):
    """Families without sdpa are built with eager attention instead of being refused."""
    assert outline(tiny_config(family)).attention == attention
    with torch.device("meta"):
        AutoModelForCausalLM.from_config(tiny_config(family), attn_implementation=attention)
