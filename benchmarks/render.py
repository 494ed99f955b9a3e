"""Pictures a second on one core: our renderer against Mitsuba 3, the same scenes at 64 pixels.

    pip install mitsuba scikit-image     # only for this script
    python benchmarks/render.py --record

Both draw the same baked shapes in the same places under the same two lights, with one bounce of light and shadows.
Mitsuba gets them as meshes (marching cubes on our grid) and 64 samples a pixel, still noisier than ours; its time is
that of rendering alone, loading a scene is not counted. Ours takes 2×2 rays a pixel and counts everything from latents
to pictures.
"""

import argparse
import tempfile
import time

import numpy as np
import torch
import torchvision

from hssl.reporting import results
from hssl.worlds import scenes
from hssl.worlds.scenes import shading
from hssl.worlds.scenes.tracing import EXTENT, baked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="edge of a picture in pixels")
    parser.add_argument("--samples", type=int, default=64, help="of Mitsuba, a pixel")
    parser.add_argument("--save", metavar="PNG", help="keep eight pictures of both sides, to see that they agree")
    parser.add_argument("--record", action="store_true", help="keep the result in book/results/benchmarks.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    latents = scenes.sample_latents(512, torch.Generator().manual_seed(0))
    fast, pictures = ours(latents, options.size)
    slow, others = mitsubas(latents.rows(slice(0, 14)), options.size, options.samples)
    print(f"ours: {fast:.0f} pictures a second; Mitsuba: {slow:.1f}; ratio {fast / slow:.0f}")
    if options.save:
        torchvision.utils.save_image(torch.cat([pictures[:8], others[:8]]), options.save, nrow=8)
    if options.record:
        what = f"scenes at {options.size} px on one core, against Mitsuba 3 ({options.samples} samples a pixel)"
        results.record_benchmark("render", ours=fast, other=slow, unit="pictures/s", what=what)


def ours(latents: scenes.Latents, size: int) -> tuple[float, torch.Tensor]:
    """Pictures a second, the best of three rounds, and the pictures."""
    rounds = []
    for _ in range(3):
        start = time.perf_counter()
        pictures = scenes.render(latents, size)
        rounds.append(len(pictures) / (time.perf_counter() - start))
    return max(rounds), pictures


def mitsubas(latents: scenes.Latents, size: int, samples: int) -> tuple[float, torch.Tensor]:
    """The same of Mitsuba, in its scalar variant on one thread."""
    import drjit
    import mitsuba

    mitsuba.set_variant("scalar_rgb")
    drjit.set_thread_count(1)
    meshes = [mesh(mitsuba, k) for k in range(len(scenes.CLASSES))]
    spent, pictures = [], []
    for i, k in enumerate(latents.labels.tolist()):
        scene = mitsuba.load_dict(describe(mitsuba, shading.Scene(*latents.rows(slice(i, i + 1))), meshes[k], size))
        start = time.perf_counter()
        picture = np.array(mitsuba.render(scene, spp=samples))
        spent.append(time.perf_counter() - start)
        pictures.append(torch.from_numpy(picture).permute(2, 0, 1).clamp(1e-5, 1) ** (1 / 2.2))
    return 1 / np.median(spent), torch.stack(pictures)


def mesh(mitsuba, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices, in the shape's frame, and faces."""
    from skimage.measure import marching_cubes

    shapes = baked(torch.device("cpu"))
    distances = shapes.flat.view(shapes.count, *3 * [shapes.resolution])[k].numpy()
    vertices, faces, _, _ = marching_cubes(distances, 0)
    return vertices[:, ::-1] * shapes.voxel - EXTENT, faces[:, ::-1]


def describe(mitsuba, scene: shading.Scene, mesh: tuple[np.ndarray, np.ndarray], size: int) -> dict:
    """One of our scenes in Mitsuba's words."""
    vertices, faces = mesh
    body = mitsuba.Mesh("body", len(vertices), len(faces), has_vertex_normals=False)
    placed = vertices @ scene.rotation[0].numpy().T + scene.centre[0].numpy()
    params = mitsuba.traverse(body)
    params["vertex_positions"], params["faces"] = placed.ravel().astype("f4"), faces.ravel().astype("u4")
    params.update()
    with tempfile.NamedTemporaryFile(suffix=".ply", delete=False) as file:
        body.write_ply(file.name)
    look_at, colour = mitsuba.ScalarTransform4f().look_at, lambda c: {"type": "rgb", "value": c[0].tolist()}
    camera = {
        "type": "perspective",
        "fov": shading.FIELD_OF_VIEW,
        "to_world": look_at(origin=shading.CAMERA, target=shading.TARGET, up=(0, 0, 1)),
        "film": {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}},
    }
    origin, axis = scene.spot[0], scene.axis[0]
    angles = np.degrees(np.arccos(shading.CONE))
    spot = {
        "type": "spot",
        "to_world": look_at(origin=origin.tolist(), target=(origin + axis).tolist(), up=(0, 0, 1)),
        "intensity": {"type": "rgb", "value": (1.15 * np.pi * 6.5**2 * scene.light[0].numpy()).tolist()},
        "cutoff_angle": float(angles[0]),
        "beam_width": float(angles[1]),
    }
    key = {"type": "point", "position": shading.KEY, "intensity": 0.62 * np.pi * float(np.square(shading.KEY).sum())}
    return {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 2},
        "camera": camera,
        "ground": {
            "type": "rectangle",
            "to_world": mitsuba.ScalarTransform4f().scale(20),
            "bsdf": {"type": "diffuse", "reflectance": colour(scene.background)},
        },
        "body": {
            "type": "ply",
            "filename": file.name,
            "face_normals": True,
            "bsdf": {"type": "plastic", "diffuse_reflectance": colour(scene.object)},
        },
        "sky": {"type": "constant", "radiance": 0.2},
        "key": key,
        "spot": spot,
    }


if __name__ == "__main__":
    main()
