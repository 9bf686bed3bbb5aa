# What several test folders drive the roles with: include() this and link fph_support.
include_guard(GLOBAL)
add_library(fph_support STATIC
	${CMAKE_CURRENT_LIST_DIR}/fail.c
	${CMAKE_CURRENT_LIST_DIR}/loop.c
	${CMAKE_CURRENT_LIST_DIR}/ram.c
	${CMAKE_CURRENT_LIST_DIR}/raw.c
	${CMAKE_CURRENT_LIST_DIR}/rig.c
	${CMAKE_CURRENT_LIST_DIR}/trace.c)
target_include_directories(fph_support PRIVATE ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(fph_support PRIVATE fph_build PUBLIC fph_static PkgConfig::CRITERION)
target_compile_options(fph_support PRIVATE
	$<$<C_COMPILER_ID:Clang>:-Wno-gnu-zero-variadic-macro-arguments>)
