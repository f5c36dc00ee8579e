# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the transforms: pure functions of a batch ``(N, C, H, W)`` and parameters, N rows each."""
