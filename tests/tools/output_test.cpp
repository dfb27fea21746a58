// Figures, tables and the progress bar as people see them.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/output.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/tessera/progress.hpp"

namespace tessera {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Output, FiguresAreRound) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1536), "1.50 KiB");
  EXPECT_EQ(bytes_text(int64_t{48} << 30), "48 GiB");
  EXPECT_EQ(count_text(950), "950");
  EXPECT_EQ(count_text(12345), "12.3k");
  EXPECT_EQ(count_text(999999), "1.00M");
  EXPECT_EQ(seconds_text(12.34e-6), "12.3 µs");
  EXPECT_EQ(seconds_text(0.0999), "99.9 ms");
  EXPECT_EQ(seconds_text(75), "75.0 s");
  EXPECT_EQ(duration_text(0.6), "0:01");
  EXPECT_EQ(duration_text(754), "12:34");
  EXPECT_EQ(duration_text(3723), "1:02:03");
  EXPECT_EQ(rounded(123456, 4), 123456);
  EXPECT_EQ(rounded(1.23456, 4), 1.235);
  EXPECT_EQ(rounded(0, 4), 0);
}

TEST(Output, TablesAlign) {
  Table table({"what", "µs", "text"});
  table.row({"a", "9.5", "9 lives"});
  table.row({"long", "10.25", "none"});
  EXPECT_EQ(table.text(), "what     µs  text\na       9.5  9 lives\nlong  10.25  none\n");
}

TEST(Progress, LineShowsLossSpeedShareAndTimeLeft) {
  const Progress now{.step = 600, .loss = 0.43215, .tokens_per_s = 91234, .gflops = 115};
  const ProgressLine how{.steps = 2400, .ceiling_gflops = 230, .seconds_left = 72, .columns = 110};
  const std::string line = progress_line(now, how);
  EXPECT_THAT(line, AllOf(StartsWith("step 600/2400  [=======>"), HasSubstr("loss 0.4321"),
                          HasSubstr("91.2k tokens/s"), HasSubstr("50 % of ceiling"), EndsWith("1:12 left")));
  for (int columns = 0; columns < 110; ++columns) {
    ProgressLine narrow = how;
    narrow.columns = columns;
    EXPECT_LE(progress_line(now, narrow).size(), static_cast<size_t>(columns));
  }
  EXPECT_THAT(progress_line(now, {.steps = 2400}), AllOf(Not(HasSubstr("ceiling")), Not(HasSubstr("left"))));
}

std::string shown_by(bool terminal, double plain_every_s, int steps) {
  std::FILE* file = std::tmpfile();
  {
    ProgressBar bar({.steps = steps, .out = file, .terminal = terminal, .plain_every_s = plain_every_s});
    for (int step = 1; step <= steps; ++step) bar.update({.step = step, .loss = 1.0 / step});
    bar.say("val_loss 0.5");
  }
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  EXPECT_EQ(std::fseek(file, 0, SEEK_SET), 0);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  std::fclose(file);
  return text;
}

TEST(Progress, OnAFileThereAreFewPlainLines) {
  const std::string text = shown_by(false, 3600, 1000);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;  // the first, the note, the last
  EXPECT_THAT(text,
              AllOf(HasSubstr("step 1/1000"), HasSubstr("step 1000/1000"), HasSubstr("\nval_loss 0.5\n")));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("\r")), Not(HasSubstr("\x1b")), Not(HasSubstr("["))));
}

TEST(Progress, OnATerminalItStaysOnOneLine) {
  const std::string text = shown_by(true, 3600, 1000);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;  // the note, the end
  EXPECT_THAT(text,
              AllOf(HasSubstr("\r\x1b[Kval_loss 0.5\n\r"), HasSubstr("step 1000/1000"), EndsWith("\n")));
}

}  // namespace
}  // namespace tessera
