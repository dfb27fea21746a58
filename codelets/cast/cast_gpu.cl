// cast on devices, from S to T.
// SPDX-License-Identifier: Apache-2.0

KERNEL cast(GLOBAL const S* x, GLOBAL T* y, long n) { EACH_WIDE(i, n) STOREW(T, y, i, n, LOADW(S, x, i, n)); }
