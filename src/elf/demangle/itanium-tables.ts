/** What the letters of mangled C++ names stand for. Source: itanium-cxx-abi.github.io/cxx-abi/abi.html, 5.1.3 to 5.1.10. */

type Table = Readonly<Record<string, string>>;

// biome-ignore format: a table like the manual's
export const BUILTIN_TYPES: Table = {
  v: 'void', w: 'wchar_t', b: 'bool', c: 'char', a: 'signed char', h: 'unsigned char', s: 'short', t: 'unsigned short',
  i: 'int', j: 'unsigned int', l: 'long', m: 'unsigned long', x: 'long long', y: 'unsigned long long', n: '__int128',
  o: 'unsigned __int128', f: 'float', d: 'double', e: 'long double', g: '__float128', z: '...',
  Dd: 'decimal64', De: 'decimal128', Df: 'decimal32', Dh: 'half', Di: 'char32_t', Ds: 'char16_t', Du: 'char8_t',
  Da: 'auto', Dc: 'decltype(auto)', Dn: 'decltype(nullptr)',
};

/** Behind numbers of these types; others are written as casts. */
export const LITERAL_SUFFIXES: Table = { i: '', j: 'u', l: 'l', m: 'ul', x: 'll', y: 'ull' };

/** Behind `S`; written out, as c++filt does. */
export const STANDARD_NAMES: Table = {
  a: 'std::allocator',
  b: 'std::basic_string',
  s: 'std::basic_string<char, std::char_traits<char>, std::allocator<char> >',
  i: 'std::basic_istream<char, std::char_traits<char> >',
  o: 'std::basic_ostream<char, std::char_traits<char> >',
  d: 'std::basic_iostream<char, std::char_traits<char> >',
};

export const SPECIAL_NAMES: Table = {
  TV: 'vtable for ',
  TT: 'VTT for ',
  TI: 'typeinfo for ',
  TS: 'typeinfo name for ',
  GV: 'guard variable for ',
};

/** Behind `operator`. */
// biome-ignore format: a table like the manual's
export const OPERATORS: Table = {
  nw: ' new', na: ' new[]', dl: ' delete', da: ' delete[]', aw: ' co_await', ps: '+', ng: '-', ad: '&', de: '*', co: '~',
  pl: '+', mi: '-', ml: '*', dv: '/', rm: '%', an: '&', or: '|', eo: '^', aS: '=', pL: '+=', mI: '-=', mL: '*=', dV: '/=',
  rM: '%=', aN: '&=', oR: '|=', eO: '^=', ls: '<<', rs: '>>', lS: '<<=', rS: '>>=', eq: '==', ne: '!=', lt: '<', gt: '>',
  le: '<=', ge: '>=', ss: '<=>', nt: '!', aa: '&&', oo: '||', pp: '++', mm: '--', cm: ',', pm: '->*', pt: '->', cl: '()',
  ix: '[]', qu: '?',
};
