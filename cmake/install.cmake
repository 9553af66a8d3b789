# Headers, one export set per component, and the package file. All components are installed whether or not this build has Kokkos or
# CUDA: they are headers, and the package file looks for Kokkos where it is asked for the component kokkos.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_DATADIR}/cmake/moesaic)  # not below lib: nothing here depends on the architecture

# `cmake --install DIR --component moesaic`, or moesaic_cpu, moesaic_kokkos or moesaic_cuda, installs one alone; each needs moesaic, kokkos needs cpu too.
foreach(component moesaic cpu kokkos cuda)
  set(part moesaic_${component})
  if(component STREQUAL "moesaic")
    set(part moesaic)
    install(DIRECTORY include/moesaic DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT ${part}
      FILES_MATCHING PATTERN "*.hpp" REGEX "/moesaic/(cpu|kokkos|cuda)([.]hpp)?$" EXCLUDE)
  else()
    install(DIRECTORY include/moesaic/${component} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moesaic COMPONENT ${part} FILES_MATCHING PATTERN "*.hpp")
    install(FILES include/moesaic/${component}.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moesaic COMPONENT ${part})
  endif()
  install(TARGETS moesaic_${component} EXPORT moesaic-${component} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT moesaic-${component} NAMESPACE moesaic:: FILE moesaic-${component}-targets.cmake DESTINATION ${package} COMPONENT ${part})
endforeach()

# Until 1.0 any minor version may change any interface: a consumer of 0.1 gets no 0.2.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/moesaic-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES cmake/moesaic-config.cmake ${PROJECT_BINARY_DIR}/moesaic-config-version.cmake DESTINATION ${package} COMPONENT moesaic)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT moesaic)
