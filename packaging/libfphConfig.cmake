# find_package(libfph [COMPONENTS fph fph-io fph-static fph-io-static])
# Each component is a target, libfph::<component>.  fph-io, its static twin and
# liburing are there only if libfph was built with FPH_IO.
include(${CMAKE_CURRENT_LIST_DIR}/libfphTargets.cmake)

foreach(component IN LISTS libfph_FIND_COMPONENTS)
	if(TARGET libfph::${component})
		set(libfph_${component}_FOUND TRUE)
	elseif(libfph_FIND_REQUIRED_${component})
		set(libfph_FOUND FALSE)
		set(libfph_NOT_FOUND_MESSAGE "this libfph has no component ${component}")
	endif()
endforeach()
