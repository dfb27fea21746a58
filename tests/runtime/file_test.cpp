// Files: read whole, mapped, and written so that they appear whole or not at all.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/file.hpp"

#include <sys/stat.h>

#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using test::error_of;
using test::ScratchFolder;
using testing::HasSubstr;

TEST(Files, AreReadWholeOrRefusedByName) {
  ScratchFolder folder;
  EXPECT_EQ(read_file(folder.write("a", std::string("x\0y", 3))), std::string("x\0y", 3));
  EXPECT_EQ(read_file(folder.write("empty", "")), "");
  EXPECT_THAT(error_of([&] { read_file(folder / "none"); }), HasSubstr("none: no such file"));
  EXPECT_THAT(error_of([&] { read_file(folder.path); }), HasSubstr("is a folder"));
  EXPECT_THAT(error_of([&] { read_file(folder / "a", 2); }), HasSubstr("a: is 3 bytes long, at most 2"));
  ::mkfifo((folder / "pipe").c_str(), 0600);  // opening it must not wait for a writer
  EXPECT_THAT(error_of([&] { read_file(folder / "pipe"); }), HasSubstr("not a regular file"));
}

TEST(Files, StayMappedAsLongAsTheirObject) {
  ScratchFolder folder;
  MappedFile a(folder.write("a", "one")), b(folder.write("b", ""));
  EXPECT_EQ(a.bytes().size(), 3u);
  EXPECT_TRUE(b.bytes().empty());
  const std::byte* at = a.bytes().data();
  b = std::move(a);
  EXPECT_EQ(b.bytes().data(), at);
  EXPECT_EQ(b.bytes()[1], std::byte{'n'});
}

TEST(Files, AppearAtCommitAndLeaveNothingWithoutOne) {
  ScratchFolder folder;
  folder.write("a", "before");
  {
    NewFile file(folder / "a");
    file.write("half");
    EXPECT_EQ(read_file(folder / "a"), "before");
  }
  EXPECT_EQ(read_file(folder / "a"), "before");
  EXPECT_EQ(folder.entries(), 1u);
  folder.write(".a.tmp", "what a killed writer left, longer than the next");
  write_file(folder / "a", "after");
  EXPECT_EQ(read_file(folder / "a"), "after");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(Files, SayWhyAPlaceTakesNone) {
  ScratchFolder folder;
  folder.write("file", "");
  auto refusal = [&](std::string_view name) { return error_of([&] { write_file(folder / name, "x"); }); };
  EXPECT_THAT(refusal("none/a"),
              HasSubstr("none/a: cannot be written (No such file or directory); choose a folder"));
  EXPECT_THAT(refusal("file/a"), HasSubstr("Not a directory"));
  EXPECT_THAT(error_of([&] { write_file(folder.path, "x"); }), HasSubstr("Is a directory"));
  EXPECT_THAT(error_of([&] { write_file("/proc/no-such-place", "x"); }),
              HasSubstr("/proc/no-such-place: cannot be"));
}

}  // namespace
}  // namespace tessera
