# One way into moesaic: its consumer is configured, built and run as a user would, without a network, and what moesaic did to it is looked at.
#   cmake -DWAY=find_package -DMOESAIC=… -DWORK=… -DGENERATOR=… -DMAKE_PROGRAM=… -DCOMPILER=… [-DKOKKOS=<an installed Kokkos's cmake folder>]
#     [-DNVCC=…] -P ways.cmake
cmake_minimum_required(VERSION 3.25.1)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
set(here ${CMAKE_CURRENT_LIST_DIR})

# expect(<works or fails> COMMAND <word>... [SAYS <text>...] [SAYS_NOT <text>...]): the texts appear in the output, or do not. Line breaks are
# blanks, since CMake wraps its errors.
function(expect outcome)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "COMMAND;SAYS;SAYS_NOT")
  execute_process(COMMAND ${arg_COMMAND} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  set(wrong "")
  if((outcome STREQUAL "works" AND NOT result EQUAL 0) OR (outcome STREQUAL "fails" AND result EQUAL 0))
    string(APPEND wrong "\nits result is ${result}")
  endif()
  string(REGEX REPLACE "[ \n]+" " " flat "${output}")
  foreach(text IN LISTS arg_SAYS)
    string(FIND "${flat}" "${text}" at)
    if(at EQUAL -1)
      string(APPEND wrong "\nit does not say '${text}'")
    endif()
  endforeach()
  foreach(text IN LISTS arg_SAYS_NOT)
    string(FIND "${flat}" "${text}" at)
    if(NOT at EQUAL -1)
      string(APPEND wrong "\nit says '${text}'")
    endif()
  endforeach()
  if(wrong)
    list(JOIN arg_COMMAND " " command)
    message(SEND_ERROR "${command}${wrong}\noutput:\n${output}")
  endif()
endfunction()

function(fake_kokkos version text)
  set(folder ${WORK}/kokkos-${version}/lib/cmake/Kokkos)
  file(WRITE ${folder}/KokkosConfig.cmake "${text}")
  include(CMakePackageConfigHelpers)
  write_basic_package_version_file(${folder}/KokkosConfigVersion.cmake VERSION ${version} COMPATIBILITY AnyNewerVersion ARCH_INDEPENDENT)
endfunction()

# Wherever nobody asked for Kokkos, nobody finds this one.
fake_kokkos(4.7.00 "message(FATAL_ERROR \"somebody looks for Kokkos\")\n")
set(nothing_but_the_standard "moesaic::moesaic: COMPILE_FEATURES=cxx_std_20." "directory:. build type:. standard:." "languages:CXX.")

set(configure ${CMAKE_COMMAND} -G ${GENERATOR} -DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM} -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_PROJECT_TOP_LEVEL_INCLUDES=${here}/inspect.cmake
  -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)
set(ENV{Kokkos_ROOT} ${WORK}/kokkos-4.7.00)

# Builds and runs the consumer, and looks at the commands: no warning option, no -march, no test and nothing to install came along.
function(build_and_run build)
  expect(works COMMAND ${CMAKE_COMMAND} --build ${build})
  expect(works COMMAND ${build}/consumer SAYS "cpu 1.996564" ${ARGN})
  file(READ ${build}/compile_commands.json commands)
  if(commands MATCHES " -[Wmf]")
    message(SEND_ERROR "options came along:\n${commands}")
  endif()
  expect(works COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${build} -N SAYS "Total Tests: 0")
  expect(works COMMAND ${CMAKE_COMMAND} --install ${build} --prefix ${build}/installed SAYS_NOT "nstalling:")
endfunction()

set(as_subproject SAYS ${nothing_but_the_standard} "moesaic::cpu: LINK_LIBRARIES=moesaic_moesaic." "moesaic::kokkos does not exist."
  "cache MOESAIC_TESTS=OFF." "cache MOESAIC_EXAMPLES=OFF." "cache MOESAIC_BENCH=OFF." "cache MOESAIC_INSTALL=OFF." "cache MOESAIC_NATIVE=OFF."
  "cache MOESAIC_FETCH=OFF." "cache MOESAIC_KOKKOS=OFF." SAYS_NOT "cache Kokkos_DIR" "cache GTest_" "cache MOESAIC_DOWNLOAD_DIR" "Warning")

if(WAY STREQUAL "include_path")
  expect(works COMMAND ${here}/include_path/build.sh ${COMPILER} ${MOESAIC} ${WORK}/consumer)
  expect(works COMMAND ${WORK}/consumer SAYS "cpu 1.996564")
  if(NVCC)  # -arch=sm_90a compiles for sm_90 too, which has no wgmma
    expect(works COMMAND ${NVCC} -ccbin=${COMPILER} -std=c++20 -arch=sm_90a -I ${MOESAIC}/include ${here}/consumer.cu -o ${WORK}/consumer_cuda)
    expect(works COMMAND ${WORK}/consumer_cuda SAYS "cuda, with")
  endif()

elseif(WAY STREQUAL "add_subdirectory")
  expect(works COMMAND ${configure} -S ${here}/add_subdirectory -B ${WORK}/build -DMOESAIC_SOURCE_DIR=${MOESAIC} ${as_subproject})
  build_and_run(${WORK}/build)

elseif(WAY STREQUAL "fetch_content")  # from an archive, as a release has it
  file(MAKE_DIRECTORY ${WORK}/moesaic)
  file(COPY ${MOESAIC}/include ${MOESAIC}/cmake ${MOESAIC}/CMakeLists.txt ${MOESAIC}/LICENSE DESTINATION ${WORK}/moesaic)
  expect(works COMMAND ${CMAKE_COMMAND} -E chdir ${WORK} ${CMAKE_COMMAND} -E tar czf moesaic.tar.gz moesaic)
  expect(works COMMAND ${configure} -S ${here}/fetch_content -B ${WORK}/build -DMOESAIC_URL=file://${WORK}/moesaic.tar.gz ${as_subproject})
  build_and_run(${WORK}/build)

else()  # find_package, in a prefix that is not where it was installed
  set(parts -DMOESAIC_KOKKOS=OFF -DMOESAIC_TESTS=OFF -DMOESAIC_EXAMPLES=OFF -DMOESAIC_BENCH=OFF)
  expect(works COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER} ${parts} -S ${MOESAIC} -B ${WORK}/moesaic)
  expect(works COMMAND ${CMAKE_COMMAND} --install ${WORK}/moesaic --prefix ${WORK}/installed)
  file(GLOB_RECURSE files ${WORK}/installed/*.cmake)
  foreach(file IN LISTS files)
    file(READ ${file} text)
    foreach(path ${WORK} ${MOESAIC}/)
      string(FIND "${text}" "${path}" at)
      if(NOT at EQUAL -1)
        message(SEND_ERROR "${file} has the path ${path}")
      endif()
    endforeach()
  endforeach()
  file(RENAME ${WORK}/installed ${WORK}/moved)

  # find(<name> <works or fails> "<request>" [-D...]... SAYS ...)
  function(find name outcome request)
    expect(${outcome} COMMAND ${configure} -S ${here}/find_package -B ${WORK}/${name} -Dmoesaic_ROOT=${WORK}/moved "-DCONSUMER_REQUEST=${request}" ${ARGN})
  endfunction()

  find(core works "0.1 REQUIRED" SAYS ${nothing_but_the_standard} "moesaic::cpu: LINK_LIBRARIES=moesaic::moesaic."
    "moesaic::kokkos does not exist." SAYS_NOT "cache ")
  build_and_run(${WORK}/core)

  # Versions. Until 1.0 the minor one must be the same.
  find(exact works "0.1.0 EXACT REQUIRED")
  foreach(version 0.0 0.2 1.0 0.1.1)
    find(version_${version} fails "${version} REQUIRED" SAYS "compatible with requested version \"${version}\"" "version: 0.1.0")
  endforeach()

  # Components.
  find(known works "0.1 REQUIRED COMPONENTS moesaic cpu")
  find(nonsense fails "0.1 REQUIRED COMPONENTS nonsense"
    SAYS "moesaic: there is no component 'nonsense': there are moesaic, cpu, kokkos and cuda")
  find(kokkos_is_looked_for fails "0.1 REQUIRED COMPONENTS kokkos" SAYS "somebody looks for Kokkos")

  unset(ENV{Kokkos_ROOT})
  set(nowhere "")  # what happens to be installed here is not what is tested
  foreach(where CMAKE_SYSTEM_PATH CMAKE_ENVIRONMENT_PATH SYSTEM_ENVIRONMENT_PATH PACKAGE_REGISTRY SYSTEM_PACKAGE_REGISTRY)
    list(APPEND nowhere -DCMAKE_FIND_USE_${where}=OFF)
  endforeach()
  set(reason "moesaic: the component 'kokkos' needs Kokkos 4.5 to 5.x, and find_package(Kokkos 4.5...<6) finds none: set Kokkos_ROOT to where it is installed")
  find(no_kokkos fails "0.1 REQUIRED COMPONENTS kokkos" ${nowhere} SAYS "${reason}")
  find(optional works "0.1 REQUIRED OPTIONAL_COMPONENTS kokkos" ${nowhere} SAYS "moesaic::kokkos does not exist." ${nothing_but_the_standard})
  fake_kokkos(3.4.01 "")
  find(old_kokkos fails "0.1 REQUIRED COMPONENTS kokkos" ${nowhere} -DKokkos_ROOT=${WORK}/kokkos-3.4.01
    SAYS "${reason} (passed over version 3.4.01 in ${WORK}/kokkos-3.4.01/lib/cmake/Kokkos/KokkosConfig.cmake)")
  fake_kokkos(5.2.2 "add_library(Kokkos::kokkos INTERFACE IMPORTED)\n")
  find(new_kokkos works "0.1 REQUIRED COMPONENTS kokkos" -DKokkos_ROOT=${WORK}/kokkos-5.2.2
    SAYS "moesaic::kokkos: LINK_LIBRARIES=moesaic::cpu,Kokkos::kokkos." ${nothing_but_the_standard})
  if(KOKKOS)  # a real one: built and run
    find(real_kokkos works "0.1 REQUIRED COMPONENTS kokkos" -DKokkos_DIR=${KOKKOS} SAYS "moesaic::kokkos: LINK_LIBRARIES=moesaic::cpu,Kokkos::kokkos.")
    expect(works COMMAND ${CMAKE_COMMAND} --build ${WORK}/real_kokkos)
    expect(works COMMAND ${WORK}/real_kokkos/consumer SAYS "kokkos 1.996564")
  endif()

  # CUDA, as a project of that language asks for it.
  find(cuda_is_a_component works "0.1 REQUIRED COMPONENTS cuda" SAYS "languages:CXX.")
  if(NVCC)
    expect(works COMMAND ${configure} -S ${here}/find_package_cuda -B ${WORK}/cuda -Dmoesaic_ROOT=${WORK}/moved -DCMAKE_CUDA_COMPILER=${NVCC}
      -DCMAKE_CUDA_HOST_COMPILER=${COMPILER} -DCMAKE_CUDA_ARCHITECTURES=90a-real)
    expect(works COMMAND ${CMAKE_COMMAND} --build ${WORK}/cuda)
    expect(works COMMAND ${WORK}/cuda/consumer SAYS "cuda, with")
  endif()

  # An installation of the core alone.
  expect(works COMMAND ${CMAKE_COMMAND} --install ${WORK}/moesaic --prefix ${WORK}/part --component moesaic
    SAYS moesaic/moesaic.hpp SAYS_NOT moesaic/cpu moesaic/kokkos)
  find(without_cpu fails "0.1 REQUIRED COMPONENTS cpu" -Dmoesaic_ROOT=${WORK}/part SAYS "moesaic: the component 'cpu' is not part of this installation")
endif()
