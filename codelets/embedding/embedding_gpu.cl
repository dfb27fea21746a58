// embedding on devices: the table is stored as S, rows of it as T.
// SPDX-License-Identifier: Apache-2.0

// The rows whose ids lie in [first_id, first_id + n_ids), the rows of one table tile; `overwrite`: the others
// become 0.
KERNEL embedding(GLOBAL const i32* ids, GLOBAL T* y, GLOBAL const S* table, long cols, int first_id,
                 int n_ids, int overwrite) {
  EACH_WIDE_IN_ROWS(r, c, cols) {
    const int at = ids[r] - first_id, here = ids[r] >= first_id && at < n_ids;
    if (here || overwrite)
      STOREW(T, y + r * cols, c, cols, here ? LOADW(S, table + at * cols, c, cols) : SPLAT(0.0f));
  }
}

// Where ids are beyond the table, the first is reported; by one group.
KERNEL GROUP_SIZE(WIDTH, 1)
    check_ids(GLOBAL const i32* ids, GLOBAL i32* fault, int rows, int first_row, int table_rows) {
  LOCAL float part[WIDTH];
  float beyond = 0.0f;
  for (int first = 0; first < rows; first += WIDTH)
    if (first + ITEM(0) < rows) beyond += ids[first + ITEM(0)] >= table_rows ? 1.0f : 0.0f;
  beyond = group_sum(beyond, part);
  if (ITEM(0) != 0) return;
  for (int r = 0; r < rows && beyond > 0.0f && fault[0] == 0; ++r)
    if (ids[r] >= table_rows) {
      fault[0] = first_row + r + 1;
      fault[1] = ids[r];
    }
}

// The rows of every id of a table tile, in their order: with counts and places of ids and the number of rows
// that have found a place so far all 0 at first,
//   count_rows   counts[id] = how many rows have it; slots[r] = how many were counted before r, by chance
//   place_ids    places[id] = where its rows begin
//   list_rows    listed[places[id] + slots[r]] = r
//   order_rows   ordered likewise, but by r; and firsts[r]: whether r is the first row of its id
#define HERE(r) (ids[r] >= first_id && ids[r] - first_id < n_ids)

KERNEL count_rows(GLOBAL const i32* ids, GLOBAL i32* counts, GLOBAL i32* slots, long rows, int first_id,
                  int n_ids) {
  FOR_EACH(r, rows) if (HERE(r)) slots[r] = ATOMIC_ADD(counts + (ids[r] - first_id), 1);
}

KERNEL place_ids(GLOBAL const i32* ids, GLOBAL const i32* counts, GLOBAL const i32* slots, GLOBAL i32* places,
                 GLOBAL i32* placed, long rows, int first_id, int n_ids) {
  FOR_EACH(r, rows)
  if (HERE(r) && slots[r] == 0) {
    const int id = ids[r] - first_id;
    places[id] = ATOMIC_ADD(placed, counts[id]);
  }
}

KERNEL list_rows(GLOBAL const i32* ids, GLOBAL const i32* slots, GLOBAL const i32* places, GLOBAL i32* listed,
                 long rows, int first_id, int n_ids) {
  FOR_EACH(r, rows) if (HERE(r)) listed[places[ids[r] - first_id] + slots[r]] = (i32)r;
}

KERNEL order_rows(GLOBAL const i32* ids, GLOBAL const i32* counts, GLOBAL const i32* places,
                  GLOBAL const i32* listed, GLOBAL i32* ordered, GLOBAL i32* firsts, long rows, int first_id,
                  int n_ids) {
  FOR_EACH(r, rows)
  if (HERE(r)) {
    const int id = ids[r] - first_id, place = places[id];
    int before = 0;
    for (int k = 0; k < counts[id]; ++k) before += listed[place + k] < r;
    ordered[place + before] = (i32)r;
    firsts[r] = before == 0;
  }
}

// The first row with an id adds all of them to the sum, in their order.
KERNEL embedding_backward(GLOBAL float* sum, GLOBAL const i32* ids, GLOBAL const i32* counts,
                          GLOBAL const i32* places, GLOBAL const i32* ordered, GLOBAL const i32* firsts,
                          GLOBAL const T* d, long cols, int first_id, int n_ids) {
  EACH_WIDE_IN_ROWS(r, c, cols) {
    if (!HERE(r) || !firsts[r]) continue;
    const int id = ids[r] - first_id;
    GLOBAL const i32* rows_of = ordered + places[id];
    wide x = LOADW(f32, sum + id * cols, c, cols);
    for (int k = 0; k < counts[id]; ++k) x += LOADW(T, d + rows_of[k] * cols, c, cols);
    STOREW(f32, sum + id * cols, c, cols, x);
  }
}
