#!/bin/sh
# Checks the rooms of include/moesaic and their one-way doors, and that every header has its #pragma once.
#   tests/rooms/check.sh include        prints file:line: what is wrong; exit status 1 if anything is
cd "$1" && find moesaic -type f \( -name '*.hpp' -o -name '*.cuh' \) | LC_ALL=C sort | xargs awk '
BEGIN {
  # A room includes itself and the rooms to its left.
  left["core"]      = "core"
  left["num"]       = "core num"
  left["config"]    = "core num config"
  left["semantics"] = "core num config semantics"
  left["tune"]      = "core num config semantics tune"
  left["reference"] = left["tune"] " reference"
  left["cpu"]       = left["tune"] " cpu"
  left["cuda"]      = left["tune"] " cuda"
  left["kokkos"]    = left["cpu"] " kokkos"
  left["pipeline"]  = left["tune"] " pipeline"      # written against a concept: it sees no backend
  left["balance"]   = left["pipeline"] " balance"
  left["ep"]        = left["pipeline"] " ep"
  # A door opens rooms, and nothing includes a door.
  left["moesaic.hpp"] = left["reference"] " pipeline balance ep"
  left["cpu.hpp"]     = left["moesaic.hpp"] " cpu"
  left["kokkos.hpp"]  = left["cpu.hpp"] " kokkos"
  left["cuda.hpp"]    = left["moesaic.hpp"] " cuda"
  # What comes from outside has one home.
  home["^(Kokkos|impl/Kokkos)"]                             = "kokkos"
  home["^(immintrin|x86intrin|cpuid|arm_neon|arm_sve)[.]h"] = "cpu"
  home["^(cuda|cub|thrust|cute|cutlass|nv)[/_.]"]           = "cuda"
  split("core num config semantics tune reference cpu kokkos cuda pipeline balance ep", names)
  for (n in names) is_room[names[n]] = 1
}
function fail(line, text) { print (line ? file ":" line : file) ": " text; failed = 1 }
function end_of_file() { if (file != "" && !once) fail(0, "no #pragma once") }
function room_of(path,   part) {
  if (path == "moesaic/version.hpp") return "core"
  split(path, part, "/")
  return part[2]
}
FNR == 1 {
  end_of_file()
  file = FILENAME; once = 0; room = room_of(file)
  if (!(room in left)) fail(0, "\"" room "\" is neither a room nor a door")
}
/^#pragma once$/ { once = 1 }
/^[ \t]*#[ \t]*include[ \t]*"/ { fail(FNR, "includes a quoted path: write <moesaic/...>") }
/^[ \t]*#[ \t]*include[ \t]*</ {
  path = $0
  sub(/^[^<]*</, "", path); sub(/>.*/, "", path)
  if (path ~ /^moesaic\//) {
    to = room_of(path)
    if (!(to in is_room)) fail(FNR, room " includes the door " path ": nothing does")
    else if (room in left && !index(" " left[room] " ", " " to " ")) fail(FNR, room " may not include " to ": " path)
  } else {
    for (h in home) if (path ~ h && room != home[h]) fail(FNR, room " may not include <" path ">: only " home[h] " does")
  }
}
END { end_of_file(); exit failed }
'
