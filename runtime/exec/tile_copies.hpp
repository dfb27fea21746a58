// Copies into tiles that no engine knows; session.hpp has those of an engine's buffers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "runtime/plan/lowering.hpp"

namespace tessera {

// From a whole row-major array to the tiles of a grid.
void scatter(const TileGrid& grid, size_t element, const void* whole, std::span<std::byte* const> tiles);

}  // namespace tessera
