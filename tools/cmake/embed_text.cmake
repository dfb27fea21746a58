# cmake -DFROM=file -DTO=file.inc -P embed_text.cmake: a text file as a C++ string literal, to be #included.
# SPDX-License-Identifier: Apache-2.0
file(READ ${FROM} text)
file(WRITE ${TO} "R\"embedded(${text})embedded\"")
