"""Fine-tuning an AST of base size on a GPU: python scripts/benchmarks/finetune_gpu.py [--root DATA] [--out FILE.md]

Step time, memory and MFU of Patch-Mix CL on 8 s tiles, for several batch sizes with and without recomputed
activations, then one epoch of the shipped recipe on the ICBHI copy at hand (simulated clips where there is none).
Weights are random: no score of this script means anything. Without a GPU the same is done with a reduced AST on
simulated clips.

MFU is model FLOP/s over a peak. Model FLOPs of a clip of N tokens in L blocks of width D are
3 · L · (24 N D² + 4 N² D) for each of the method's two passes (forward 1, backward 2; recomputation is not work done);
the peak is the vendor's for dense bfloat16 where the GPU is known, else what a large product reaches here.
"""

import argparse
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

import bench
from bench import simulate
from bench.base.errors import RespBenchError
from bench.base.optional_imports import import_torchaudio
from bench.data.manifest import prepare
from bench.finetune.fitting import fit_prepared
from bench.finetune.recipe import Recipe, load_recipe
from bench.finetune.training.checkpoints import RunFolder
from bench.finetune.training.start import RunStart, prepare_run
from bench.reports.tables import markdown
from bench.scores.printed import BLANK
from bench.types import Encoder, Task
from model_zoo.ast import BANDS, FRAMES

NOMINAL = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12}  # dense bfloat16 FLOP/s, data sheets
BASE = {"width": 768, "layers": 12, "stride": 10}
REDUCED = {"width": 64, "layers": 2, "stride": 16}
PASSES = 2  # of a clip through the encoder in a step of patchmix-cl
REPEATS = 5


def random_ast(folder: Path, device: str, width: int, layers: int, stride: int) -> Encoder:
    """An AST with random weights at a geometry, through a file in the released format."""
    import_torchaudio()
    from transformers import ASTConfig, ASTModel

    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        frequency_stride=stride,
        time_stride=stride,
        max_length=FRAMES,
        num_mel_bins=BANDS,
    )
    path = folder / "ast.safetensors"
    save_file({name: value.contiguous() for name, value in ASTModel(config).state_dict().items()}, path)
    return bench.load_encoder("ast.base@evar", path, device)


def task_at_hand(root: Path | None, folder: Path, small: bool) -> Task:
    """ICBHI's cycles, simulated ones where there are none or few are wanted."""
    try:
        if not small:
            return bench.load_task("icbhi.cycles4", root)
    except RespBenchError:
        pass
    clips = 120 if small else 600
    simulate.icbhi(folder / simulate.ICBHI, patients=24, clips=clips, cycle_s=2.5)
    return bench.load_task("icbhi.cycles4", folder)


def model_flops(start: RunStart, geometry: dict[str, int], clips: int) -> float:
    """Of a step on so many clips of 8 s."""
    wave = torch.zeros(1, 8 * start.model.encoder.card.sample_rate, device=next(start.model.parameters()).device)
    with torch.no_grad():
        grid = start.model.encoder(wave, torch.tensor([wave.shape[1]], device=wave.device)).layers[-1].hidden
    tokens, width = grid.shape[1] * grid.shape[2] + 2, geometry["width"]
    forward = geometry["layers"] * (24 * tokens * width**2 + 4 * tokens**2 * width)
    return 3.0 * PASSES * clips * forward


def peak_flops(device: str, precision: str) -> tuple[float, str]:
    """(FLOP/s, where the number is from)."""
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
        for known, peak in NOMINAL.items():
            if known in name and precision != "float32":
                return peak, f"data sheet, {name}"
    size, kind = (8192, torch.bfloat16) if device.startswith("cuda") else (1024, torch.float32)
    a = torch.randn(size, size, device=device, dtype=kind)
    return 2 * size**3 / fastest(lambda: a @ a, device), f"a {size} x {size} product in {kind} here"


def fastest(act, device: str) -> float:
    """Seconds of the fastest of several calls, after one to warm up."""
    taken = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        act()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def steps(encoder: Encoder, task: Task, recipe: Recipe, geometry: dict, sizes: list[int], device: str) -> list[list]:
    """Rows of the table of steps."""
    peak, _ = peak_flops(device, recipe.precision)
    prepared, rows = prepare(task), []
    for size in sizes:
        for again in (False, True):
            chosen = replace(
                recipe,
                batches=replace(recipe.batches, size=size),
                encoder=replace(recipe.encoder, checkpointing=again),
            )
            start = prepare_run(encoder, task.card, prepared, chosen, 0)
            training = start.training(RunFolder(Path("unused"), "benchmark"))
            batch = start.partition.training[:size]
            taken = fastest(lambda t=training, b=batch: t.trial(b), device)
            memory = f"{torch.cuda.max_memory_allocated() / 1e9:.2f}" if device.startswith("cuda") else BLANK
            flops = model_flops(start, geometry, len(batch))
            cells = (f"{1e3 * taken:.1f}", f"{len(batch) / taken:.1f}", memory, f"{flops / taken / 1e12:.2f}")
            rows.append([len(batch), "yes" if again else "no", *cells, f"{100 * flops / taken / peak:.1f}"])
            del start, training
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, help="data folder")
    parser.add_argument("--out", type=Path, help="also write the report here")
    parser.add_argument("--precision", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    small = device == "cpu"
    geometry = REDUCED if small else BASE
    precision = "float32" if small else arguments.precision
    recipe = replace(load_recipe("patchmix-cl"), epochs=1, precision=precision)
    if small:
        recipe = replace(recipe, spectrogram=replace(recipe.spectrogram, frame_mask=80))
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), arguments, device, geometry, recipe, small)


def report(folder: Path, arguments, device: str, geometry: dict, recipe: Recipe, small: bool) -> None:
    """Measures and prints."""
    encoder = random_ast(folder, device, **geometry)
    task = task_at_hand(arguments.root, folder, small)
    peak, source = peak_flops(device, recipe.precision)
    size = sum(p.numel() for p in encoder.parameters()) / 1e6
    lines = [
        f"AST of {size:.1f} M random weights ({geometry}), {recipe.precision}, {device}, torch {torch.__version__}",
        f"task {task.card.id}, {task.state}, {len(task.manifest)} clips; peak {peak / 1e12:.2f} TFLOP/s ({source})",
    ]
    header = ["batch", "recomputed", "ms a step", "clips/s", "memory (GB)", "TFLOP/s", "MFU (%)"]
    sizes = [4] if small else [8, 32, 64]
    table = steps(encoder, task, recipe, geometry, sizes, device)
    lines += ["", markdown(header, table, right=range(7)), ""]
    began = time.perf_counter()
    fitted = fit_prepared(encoder, task.card, prepare(task), recipe, 0)
    record = fitted.records[0]
    clips = record.data["clips_trained_on"] // recipe.batches.size * recipe.batches.size
    flops = model_flops_of_epoch(encoder, task, recipe, geometry, clips)
    train_s, loss = record.run["train_s"], record.selection["losses"][0]
    memory = record.run["device_memory_mb"] or record.run["peak_memory_mb"]
    lines += [
        f"one epoch of {recipe.name}: {clips} clips in batches of {recipe.batches.size}, training {train_s:.1f} s, "
        f"predicting {record.run['predict_s']:.1f} s, in all {time.perf_counter() - began:.1f} s; "
        f"MFU {100 * flops / train_s / peak:.1f} %; {memory:.0f} MB; mean loss {loss:.3f}"
    ]
    print("\n".join(lines))
    if arguments.out:
        with arguments.out.open("w") as file, redirect_stdout(file):
            print("\n".join(lines))


def model_flops_of_epoch(encoder: Encoder, task: Task, recipe: Recipe, geometry: dict, clips: int) -> float:
    """Of all training steps of an epoch on so many clips."""
    return model_flops(prepare_run(encoder, task.card, prepare(task), recipe, 0), geometry, clips)


if __name__ == "__main__":
    main()
