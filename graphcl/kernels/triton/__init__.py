"""The pair sweep on a GPU: two Triton kernels, one tile of pairs at a time. Importing this package does not import Triton.

`sweep` holds the kernels, `tile` what they do to a tile, `sizes` the table of tile sizes, `sides` and `plan` turn candidates,
rules and block lists into their arguments, and `lse` and `kernel_sum` are the functions that autograd sees.
"""
