"""Tables of columns of different kinds: reading, encoding as arrays for a model, decoding, and writing."""

from vae_jax.data.tables._describe import describe_table as describe_table
from vae_jax.data.tables._encoding import ColumnEncoding as ColumnEncoding
from vae_jax.data.tables._encoding import Encoding as Encoding
from vae_jax.data.tables._fit import fit_encoding as fit_encoding
from vae_jax.data.tables._load import load_table as load_table
from vae_jax.data.tables._load import load_table_like as load_table_like
from vae_jax.data.tables._load import table_of as table_of
from vae_jax.data.tables._table import Column as Column
from vae_jax.data.tables._table import Table as Table
from vae_jax.data.tables._write import write_table as write_table
