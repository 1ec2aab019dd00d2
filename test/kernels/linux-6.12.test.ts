import { testKernel } from './boot.js';

testKernel('trixie');
