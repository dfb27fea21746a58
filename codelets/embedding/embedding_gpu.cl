// embedding on devices: the table is stored as S, rows of it as T.
// SPDX-License-Identifier: Apache-2.0

// The rows whose ids lie in [first_id, first_id + n_ids), the rows of one table tile; `overwrite`: the others
// become 0.
KERNEL embedding(GLOBAL const i32* ids, GLOBAL T* y, GLOBAL const S* table, long cols, int first_id,
                 int n_ids, int overwrite) {
  FOR_EACH_IN_ROWS(r, c, cols) {
    const int at = ids[r] - first_id, here = ids[r] >= first_id && at < n_ids;
    if (here || overwrite)
      STORE(T, y, r * cols + c, here ? LOAD(S, table, (here ? at : 0) * cols + c) : 0.0f);
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

// links[r] = the next row with the same id, `rows` where there is none; -1 - that where an earlier row has
// the id too.
KERNEL link_rows(GLOBAL const i32* ids, GLOBAL i32* links, int rows) {
  FOR_EACH(r, rows) {
    const i32 id = ids[r];
    int next = rows, earlier = 0;
    for (int k = 0; k < rows; ++k) {
      const int same = ids[k] == id;
      earlier |= same && k < r;
      next = same && k > r && k < next ? k : next;
    }
    links[r] = earlier ? -1 - next : next;
  }
}

// The first row with an id adds all of them to the sum, in their order.
KERNEL embedding_backward(GLOBAL float* sum, GLOBAL const i32* ids, GLOBAL const i32* links,
                          GLOBAL const T* d, int rows, long cols, int first_id, int n_ids) {
  FOR_EACH_IN_ROWS(r, c, cols) {
    const int at = ids[r] - first_id;
    if (ids[r] >= first_id && at < n_ids && links[r] >= 0) {
      float x = sum[at * cols + c] + LOAD(T, d, r * cols + c);
      for (int k = links[r]; k < rows; k = -1 - links[k]) x += LOAD(T, d, k * cols + c);
      sum[at * cols + c] = x;
    }
  }
}
