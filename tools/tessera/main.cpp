// The `tessera` command.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/command.hpp"

int main(int argc, char** argv) { return tessera::run_command(argc, argv); }
