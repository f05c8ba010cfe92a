"""Notebooks as pages: their text, their code and the outputs stored in the file; no code is run."""

import base64
import json
import re
from pathlib import Path

from mkdocs.structure.files import File


def on_files(files, config):
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        page = file.src_uri.removesuffix(".ipynb")
        text, images = as_markdown(json.loads(Path(file.abs_src_path).read_text()), page.rpartition("/")[2])
        link = f"\n\n[Download this notebook]({file.src_uri.rpartition('/')[2]}){{ download }}\n"
        files.append(File.generated(config, f"{page}.md", content=text + link))
        for name, content in images.items():
            files.append(File.generated(config, f"{page.rpartition('/')[0]}/{name}", content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Replaces links to notebooks by links to their pages."""
    return re.sub(r"(\]\((?:\.\./)?notebooks/\w+)\.ipynb\)", r"\1.md)", markdown)


def as_markdown(notebook, name):
    """Markdown of the page, and the bytes of its images by name."""
    parts, images = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).rstrip()
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                image = f"{name}_{len(images) + 1}.png"
                images[image] = base64.b64decode("".join(data["image/png"]))
                width = output["metadata"].get("image/png", {}).get("width")  # half its pixels, for fine screens
                size = f'{{ width="{width}" }}' if width else ""
                parts.append(f"![Figure {len(images)}]({image}){size}")
            else:
                text = "".join(output.get("text") or data.get("text/plain") or [])
                parts.append(f"```{{ .text .output }}\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n", images
