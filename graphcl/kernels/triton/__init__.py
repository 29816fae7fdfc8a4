"""The kernels for a GPU, in Triton: the pair sweep, and reductions over sparse rows. Importing this package does not import it.

Of the sweep, `sweep` holds the two kernels, `tile` what they do to a tile of pairs, `sizes` the table of tile sizes;
`selection` and `plan` turn candidates, rules and block lists into their arguments, `launch` launches, and `lse` and
`kernel_sum` are the functions that autograd sees. Of sparse rows, `rows` holds the kernels, `row_plan` says how long rows are
cut, `row_sizes` their tiles, `row_launch` the launches.
"""
