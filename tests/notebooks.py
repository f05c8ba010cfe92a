"""Runs notebooks in docs/ and stores their outputs: `python tests/notebooks.py [NOTEBOOK ...]`."""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image, ImageChops

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def execute(notebook, folder):
    """Runs a notebook in a kernel of this interpreter that starts in `folder`; an error in a cell is raised."""
    client = NotebookClient(
        notebook,
        timeout=600,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,  # all printed text is one output
        kernel_name="python3",
    )
    client.create_kernel_manager()
    # Another python3 may be registered for the user or the machine.
    client.km.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return client.execute()


def text(cell):
    """Printed text and returned value of a cell, without pictures."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" not in data:
            found.append(output.get("text") or data.get("text/plain", ""))
    return "".join(found)


def pictures(cell):
    return [output["data"]["image/png"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]


def smaller(png):
    """Reduces a picture to a palette of 64 grays or 256 colors, which takes half of the bytes."""
    stream = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    is_gray = ImageChops.difference(picture, picture.convert("L").convert("RGB")).getbbox() is None
    picture.quantize(64 if is_gray else 256, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def main(paths):
    for path in paths:
        notebook = execute(nbformat.read(path, as_version=4), path.parent)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    output["data"]["image/png"] = smaller(output["data"]["image/png"])
        # The version of Python is left out.
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main([Path(argument).resolve() for argument in sys.argv[1:]] or NOTEBOOKS)
