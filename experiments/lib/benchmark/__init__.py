"""How fast the machine runs the works that this library is for: beside the floor, and beside other libraries."""
