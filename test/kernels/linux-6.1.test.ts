import { testKernel } from './boot.js';

testKernel('bookworm');
