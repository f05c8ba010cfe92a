"""Image sources, the pixel transforms that turn 8-bit images into a model's input, and tables.

Importing this package loads numpy and jax only; tensorflow-datasets, Grain, Pillow and pyarrow are imported when a
function needs them.
"""

from vae_jax.data import sprites as sprites
from vae_jax.data._arrays import Images as Images
from vae_jax.data._arrays import hide_labels as hide_labels
from vae_jax.data._batches import Batches as Batches
from vae_jax.data._batches import Unreadable as Unreadable
from vae_jax.data._digits import load_digits as load_digits
from vae_jax.data._factor_sets import load_factor_data as load_factor_data
from vae_jax.data._factors import FactorData as FactorData
from vae_jax.data._factors import factors_of as factors_of
from vae_jax.data._factors import index_of as index_of
from vae_jax.data._factors import render_images as render_images
from vae_jax.data._factors import render_pairs as render_pairs
from vae_jax.data._files import load_array_file as load_array_file
from vae_jax.data._fingerprint import fingerprint as fingerprint
from vae_jax.data._folder import load_folder as load_folder
from vae_jax.data._image_file import read_image as read_image
from vae_jax.data._images import load_images as load_images
from vae_jax.data._named_images import NamedImages as NamedImages
from vae_jax.data._named_images import every_example as every_example
from vae_jax.data._pixels import binarize as binarize
from vae_jax.data._pixels import dequantize as dequantize
from vae_jax.data._pixels import scale as scale
from vae_jax.data._pixels import static_binarization as static_binarization
from vae_jax.data._sources import ImageSource as ImageSource
from vae_jax.data._sources import hold_out as hold_out
from vae_jax.data._sources import mean_image as mean_image
from vae_jax.data._streaming import ImageStream as ImageStream
from vae_jax.data._streaming import decoded as decoded
from vae_jax.data._streaming import stream_images as stream_images
from vae_jax.data._tfds_images import load_tfds as load_tfds
from vae_jax.data.tables import Column as Column
from vae_jax.data.tables import ColumnEncoding as ColumnEncoding
from vae_jax.data.tables import Encoding as Encoding
from vae_jax.data.tables import Table as Table
from vae_jax.data.tables import describe_table as describe_table
from vae_jax.data.tables import fit_encoding as fit_encoding
from vae_jax.data.tables import load_table as load_table
from vae_jax.data.tables import load_table_like as load_table_like
from vae_jax.data.tables import table_of as table_of
from vae_jax.data.tables import write_table as write_table
