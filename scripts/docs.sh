#!/bin/sh
# Checks README.md, CHANGELOG.md, docs/ and the examples' pages: every link and anchor leads somewhere, every script and preset of a shell block is
# there, every C++ block is literally a part of a file that is compiled. Prints file:line: what is wrong; exit status 1 if anything is.
#   scripts/docs.sh [--update] [ROOT]      --update: copies the C++ blocks from their files first
# A C++ block says where it is from in the line above it, <!-- from examples/01_route.cpp:route -->; there it stands between two lines `// [route]`.
update=0
[ "$1" != --update ] || { update=1; shift; }
cd "${1:-$(dirname "$0")/..}" || exit
status=0
for file in README.md CHANGELOG.md $(find docs examples bench -name '*.md' 2>/dev/null | LC_ALL=C sort); do
  [ -f "$file" ] || continue
  LC_ALL=C awk -v file="$file" -v update=$update '
    function fail(text) { print file ":" FNR ": " text >"/dev/stderr"; failed = 1 }
    function out(line) { if (update) print line }
    function exists(path) { return system("test -e \"" path "\"") == 0 }
    function clean(path) {  # a/b/../c is a/c
      gsub(/\/\.\//, "/", path); sub(/^\.\//, "", path)
      while (match(path, /[^\/.][^\/]*\/\.\.(\/|$)/)) path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
      return path
    }
    # GitHub: lower case, without punctuation, hyphens for spaces, -1, -2 … for the same heading again.
    function slug(heading) {
      heading = tolower(heading)
      gsub(/\]\([^)]*\)/, "", heading)
      gsub(/[^a-z0-9_ \200-\377-]/, "", heading); gsub(/ /, "-", heading)
      return heading
    }
    function has_anchor(path, anchor,   line, fenced, s, seen, found) {
      if (path !~ /\.md$/) return 1
      while ((getline line <path) > 0) {
        if (line ~ /^```/) fenced = !fenced
        if (fenced || line !~ /^#+ /) continue
        sub(/^#+ +/, "", line); sub(/ +$/, "", line)
        s = slug(line)
        if ((s (seen[s] ? "-" seen[s] : "")) == anchor) found = 1
        ++seen[s]
      }
      close(path)
      return found
    }
    function link(target,   path, anchor) {
      if (target ~ /^https?:/) {
        if (target !~ /^https?:\/\/[A-Za-z0-9.-]+(:[0-9]+)?(\/[^ <>"]*)?$/) fail("no web address: " target)
        return
      }
      anchor = index(target, "#") ? substr(target, index(target, "#") + 1) : ""
      path = target; sub(/#.*/, "", path)
      path = path == "" ? file : clean(folder path)
      if (!exists(path)) fail("leads nowhere: " target)
      else if (anchor != "" && !has_anchor(path, anchor)) fail("no such heading: " target)
    }
    function links(line,   target) {
      gsub(/`[^`]*`/, "", line)
      while (match(line, /\]\([^) ]+/)) {
        target = substr(line, RSTART + 2, RLENGTH - 2)
        line = substr(line, RSTART + RLENGTH)
        link(target)
      }
    }
    function sources(line) {
      while (match(line, /(src|srcset|href)="[^"]+"/)) {
        line = substr(line, RSTART); sub(/^[a-z]+="/, "", line)
        link(substr(line, 1, index(line, "\"") - 1))
      }
    }
    function command(line,   word, n, i) {
      sub(/[ \t]#.*/, "", line); sub(/^[ \t]+/, "", line)
      n = split(line, word, /[ \t]+/)
      if (n == 0 || line ~ /^#/) return
      for (i = 1; i <= n; ++i) {
        if ((word[i] ~ /^(bash|sh)$/ && word[i + 1] !~ /^-/ && ++i) || word[i] ~ /^scripts\/|\.sh$/) {
          if (!exists(word[i])) fail("no such script: " word[i])
          else if (system("bash -n " word[i] " 2>/dev/null") != 0) fail("not a script: " word[i])
        }
        if (word[i] == "--preset" && system("grep -q \"\\\"name\\\": \\\"" word[i + 1] "\\\"\" CMakePresets.json") != 0)
          fail("no such preset: " word[i + 1])
      }
    }
    # The text between the two lines "// [name]" of a file, without their indentation; in part, 1 to n. -1: they are not there.
    function cut(path, name,   line, inside, n, indent, seen) {
      while ((getline line <path) > 0) {
        if (line ~ "^[ \t]*// \\[" name "\\]$") {
          ++seen; inside = !inside
          if (inside) indent = index(line, "/") - 1
        } else if (inside && line !~ /^[ \t]*\/\/ \[[a-z0-9_]+\]$/) {
          part[++n] = substr(line, 1, indent) ~ /^[ \t]*$/ ? substr(line, indent + 1) : line
        }
      }
      close(path)
      return seen == 2 ? n + 0 : -1
    }
    BEGIN { folder = file; if (!sub(/[^\/]*$/, "", folder)) folder = "" }
    language != "" {  # inside a block
      if ($0 ~ /^ *```$/) {
        if (language == "cpp" && at < expected) fail("the block ends before " from " does; scripts/docs.sh --update copies it")
        language = ""; out($0); next
      }
      if (language ~ /^(sh|bash|console)$/) command($0)
      if (language != "cpp" || expected < 0) out($0)
      else if (!update) {
        ++at
        if (!told && (at > expected || $0 != part[at])) { fail("differs from " from "; scripts/docs.sh --update copies it"); told = 1; at = expected }
      }
      next
    }
    /^ *```/ {
      language = $0; sub(/^ *```/, "", language); sub(/ .*/, "", language)
      if (language == "") language = "text"
      out($0)
      if (language == "cpp") {
        at = 0; told = 0; expected = -1; from = ""
        if (match(previous, /^<!-- from [^ :]+:[a-z0-9_]+ -->$/)) {
          from = substr(previous, 11, length(previous) - 14)
          split(from, where, ":")
          expected = cut(where[1], where[2])
          if (expected < 0) fail("no two lines // [" where[2] "] in " where[1])
        } else fail("C++ that does not say where it is from: <!-- from FILE:NAME --> in the line above")
        if (update && expected >= 0) { for (i = 1; i <= expected; ++i) print part[i]; at = expected }
      }
      next
    }
    { links($0); sources($0); previous = $0; out($0) }
    END { if (language != "") fail("a block without an end"); exit failed }
  ' "$file" >"${TMPDIR:-/tmp}/moesaic.docs.$$" || status=1
  if [ $update = 1 ] && ! cmp -s "$file" "${TMPDIR:-/tmp}/moesaic.docs.$$"; then cat "${TMPDIR:-/tmp}/moesaic.docs.$$" >"$file"; echo "updated $file"; fi
  rm -f "${TMPDIR:-/tmp}/moesaic.docs.$$"
done
exit $status
