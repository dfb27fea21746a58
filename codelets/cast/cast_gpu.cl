// cast on devices, from S to T.
// SPDX-License-Identifier: Apache-2.0

KERNEL cast(GLOBAL const S* x, GLOBAL T* y, long n) { FOR_EACH(i, n) STORE(T, y, i, LOAD(S, x, i)); }
